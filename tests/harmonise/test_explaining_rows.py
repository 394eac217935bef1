"""Of any row: the file and the place where it came from, found again in the file itself; no value of it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import MetaData, select

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.cli import main
from sojourn.errors import HarmonisationError
from sojourn.node import program
from sojourn.node.config import NodeHome
from sojourn.node.harmonise.explaining import explain, words
from sojourn.omop.identifiers import keyed_id, row_number_base
from sojourn.omop.reasons import EMPTY_OR_ZERO
from sojourn.storage.log import log_tables

DECIDED = """  again:
    file: stays
    to: observation
    decided: {by: Bo Example, day: 2026-02-01}
    fields: {start: {date: from, form: day}, type: 32817}
decisions:
  - {vocabulary: ICD10CM, code: Q99, concepts: [1], by: Dr Rossi, day: 2026-01-05, why: "Always a fracture here."}
observation_period"""
CODES = ("S82.0", "TWO", "VAL", "HEN", "Q99", "", "XYZZY")
STAYS = (
    "mrn,stay,kind,from,until\nragged,line\n" + FILES["stays"].split("\n", 1)[1] + "3,b,ward,01/01/2024,02/01/2024\n"
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("done")
    clinic = Clinic(folder, vocabulary(folder), PLAN.replace("observation_period", DECIDED, 1))
    codes = "".join(f"1,a,{code},02/02/2019\n" for code in CODES)
    clinic.write({**FILES, "stays": STAYS, "diagnoses": f"mrn,stay,code,day\n{codes}"})
    clinic.made()
    return clinic


def asked(clinic: Clinic, field: str, row: int) -> dict[str, object]:
    document = explain(clinic.places, clinic.warehouse, field, None, row=row, audit=clinic.audit)
    (place,) = document["places"]
    return {**place, "said": words(document)}


@pytest.mark.parametrize(
    ("table", "field", "file"),
    [("person", "year_of_birth", "patients"), ("visit_occurrence", "visit_start_date", "stays")],
)
def test_the_record_of_a_row_has_the_key_that_its_number_follows_from(
    done: Clinic, table: str, field: str, file: str
) -> None:
    key = (done.home / "harmonised" / "pseudonym.key").read_bytes()
    sound = [
        line.split(",") for line in (done.export / f"{file}.csv").read_text().splitlines()[1:] if "ragged" not in line
    ]
    numbers = [number for (number,) in done.rows(table, f"{table}_id")]
    assert len(numbers) == 3
    for number in numbers:
        found = asked(done, f"{table}.{field}", number)
        line = sound[int(str(found["record"])) - 1]
        assert keyed_id(key, f"clinic|{table}|" + "\x1f".join(line[: len(found["key"])])) == number  # type: ignore[arg-type]
        assert (found["file"], found["path"], found["rule"]) == (
            file,
            f"{file}.csv",
            table if file == "patients" else file,
        )


def test_a_row_without_a_key_is_found_by_its_place(done: Clinic) -> None:
    base = row_number_base("clinic", "diagnoses", "condition_occurrence")
    rows = done.rows("condition_occurrence", "condition_occurrence_id, condition_source_value")
    assert len(rows) == 7
    for number, code in rows:
        record = int(str(asked(done, "condition_occurrence.condition_start_date", number)["record"]))
        assert CODES[record - 1] == (code or "") and (number - base) >> 7 == record - 1


def test_it_is_said_who_decided_of_the_code_and_why_there_is_no_concept(done: Clinic) -> None:
    rows = {
        code: number
        for number, code in done.rows("condition_occurrence", "condition_occurrence_id, condition_source_value")
    }
    field = "condition_occurrence.condition_concept_id"
    decided = asked(done, field, rows["Q99"])
    assert decided["decisions"] == [{"by": "Dr Rossi", "day": "2026-01-05", "why": "Always a fracture here."}]
    assert "Dr Rossi decided on 2026-01-05 what this row's code becomes. Why: Always a fracture here." in str(
        decided["said"]
    )
    for code, reason in (("HEN", "circular map"), ("XYZZY", "unknown code"), (None, "no code")):
        found = asked(done, field, rows[code])
        assert (found["is"], found["reason"], found["decisions"]) == ("no concept", reason, [])
    assert asked(done, field, rows["S82.0"])["is"] == "filled"
    assert asked(done, "condition_occurrence.visit_detail_id", rows["S82.0"])["is"] == "empty"


def test_it_is_said_why_a_field_without_a_code_is_empty_or_0(done: Clinic) -> None:
    rows = {code: row for row, code in done.rows("observation", "observation_id, observation_source_value")}
    persons = [number for (number,) in done.rows("person", "person_id")]
    for field, row, reason in (
        ("observation.visit_detail_id", rows["VAL"], "not filled"),
        ("observation.visit_occurrence_id", rows[None], "not filled"),
        ("observation.observation_concept_id", rows[None], "not filled"),
        ("person.race_concept_id", persons[0], "not filled"),
        ("person.year_of_birth", persons[0], ""),
    ):
        found = asked(done, field, row)
        assert found["reason"] == reason
        assert (f": {EMPTY_OR_ZERO[reason]}" in str(found["said"])) if reason else found["is"] == "filled"
    ids = dict(done.rows("condition_occurrence", "condition_source_value, condition_occurrence_id"))
    source = asked(done, "condition_occurrence.condition_source_concept_id", ids["XYZZY"])
    assert (source["is"], source["reason"]) == ("no concept", "no source concept")


def test_only_the_rule_that_made_the_row_is_named(done: Clinic) -> None:
    rows = done.rows("observation", "observation_id, observation_source_value")
    assert len(rows) == 4
    for number, code in rows:
        document = explain(
            done.places, done.warehouse, "observation.observation_date", None, row=number, audit=done.audit
        )
        assert [each["rule"] for each in document["origins"]] == ["diagnoses" if code else "again"]


def test_words_lead_to_the_record_and_tell_no_value(done: Clinic) -> None:
    rows = {
        code: number
        for number, code in done.rows("condition_occurrence", "condition_occurrence_id, condition_source_value")
    }
    said = asked(done, "condition_occurrence.condition_concept_id", rows["XYZZY"])["said"]
    assert isinstance(said, list)
    assert said[1] == f"Row {rows['XYZZY']} of condition_occurrence is from record 7 of diagnoses.csv."
    assert said[2] == "In this row it is 0: The vocabulary has no such code."
    assert any(each.startswith("Rule `diagnoses` fills it from `code`") for each in said)
    assert "signed by Ada Example" in said[-1] and "XYZZY" not in str(said)
    visit = done.rows("visit_occurrence", "visit_occurrence_id")[0][0]
    assert "stays.csv (1 unreadable rows of it are not counted), found there by `mrn`, `stay`." in str(
        asked(done, "visit_occurrence.visit_end_date", visit)["said"]
    )


def test_deaths_are_found_by_their_person_and_derived_rows_say_so(done: Clinic) -> None:
    ((person,),) = done.rows("death", "person_id")
    assert asked(done, "death.death_date", person)["record"] == 2
    era = done.rows("condition_era", "condition_era_id")[0][0]
    found = asked(done, "condition_era.condition_era_start_date", era)
    assert (found["rule"], found["record"], found["file"]) == ("derived", 0, "")
    assert "no line of a file is its own" in str(found["said"])


@pytest.mark.parametrize("row", [1, -5, 1 << 80])
def test_a_row_that_is_not_there(done: Clinic, row: int) -> None:
    with pytest.raises(HarmonisationError, match="no row of `person` with that number") as refused:
        asked(done, "person.year_of_birth", row)
    assert "snapshot" in refused.value.remedy


def test_a_row_that_is_looked_for_in_vain_is_kept_too_and_none_is_looked_for_without_a_log(done: Clinic) -> None:
    before = len(done.log)
    with pytest.raises(HarmonisationError):
        asked(done, "person.year_of_birth", 1)
    ((kind, facts),) = done.log[before:]
    assert kind == "row.explained" and facts["field"] == "person.year_of_birth" and "1" not in facts.values()
    with pytest.raises(TypeError):
        explain(done.places, done.warehouse, "person.year_of_birth", None, row=1)


def test_rows_without_a_number_and_a_concept_beside_a_row(done: Clinic) -> None:
    with pytest.raises(HarmonisationError, match="Rows of `cdm_source` have no number"):
        asked(done, "cdm_source.cdm_holder", 1)
    with pytest.raises(HarmonisationError, match="one concept or none"):
        explain(done.places, done.warehouse, "condition_occurrence.condition_concept_id", 1, row=1, audit=done.audit)


def test_the_command_logs_that_it_was_asked_and_not_the_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clinic = Clinic(tmp_path, vocabulary(tmp_path))
    clinic.write()
    program.create(clinic.home, "Hill", "none")
    clinic.made()
    person = clinic.rows("person", "person_id")[0][0]
    where = ["--home", str(clinic.home), "--warehouse", str(clinic.warehouse), "--json"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["harmonise", "explain", "clinic", "person.year_of_birth", "--row", str(person), *where])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)["places"][0]["path"] == "patients.csv"
    node = program.open_node(NodeHome.load(clinic.home))
    entry = log_tables(MetaData()).entry.c
    logged = [str(row["data"]) for row in node.store.rows(select(entry.data))]
    node.close()
    (asked,) = [each for each in logged if "row.explained" in each]
    assert "person.year_of_birth" in asked and not any(str(person) in each for each in logged)

"""Pilot, signature, run: what is made, what is kept aside, what a second run does again, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import engine, running
from sojourn.node.harmonise.explaining import explain, provenance, words
from sojourn.node.harmonise.publishing import History, history, manifest_of, step_back, step_forward
from sojourn.node.harmonise.reading import opened
from sojourn.omop import rows
from sojourn.omop.identifiers import MACROS, keyed, keyed_id
from sojourn.omop.tables import TABLES


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse)
    made.write()
    return made


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, warehouse: Path) -> Clinic:
    """A run of all that the vocabulary can do with a code."""
    clinic = Clinic(tmp_path_factory.mktemp("done"), warehouse)
    codes = ("S82.0", "TWO", "VAL", "HEN", "OLD", "SITE", "FAR", "Q99", "")
    clinic.write({**FILES, "diagnoses": "mrn,stay,code,day\n" + "".join(f"1,a,{code},02/02/2019\n" for code in codes)})
    clinic.made()
    return clinic


def test_rows_are_numbered_by_the_custodians_key_and_their_place(done: Clinic) -> None:
    key = (done.home / "harmonised" / "pseudonym.key").read_bytes()
    persons = {keyed_id(key, f"clinic|person|{mrn}"): keyed(key, f"clinic|pseudonym|{mrn}")[:32] for mrn in "123"}
    assert dict(done.rows("person", "person_id, person_source_value")) == persons
    visit = keyed_id(key, "clinic|visit_occurrence|1\x1fa")
    assert visit in {number for (number,) in done.rows("visit_occurrence", "visit_occurrence_id")}
    assert {row[0] for row in done.rows("condition_occurrence", "visit_occurrence_id")} == {visit}
    assert all(0 <= number < 2**63 for number in persons)


def test_the_domain_picks_the_table_and_one_code_may_become_two_rows(done: Clinic) -> None:
    found = done.rows(
        "condition_occurrence", "condition_source_value, condition_concept_id, condition_source_concept_id"
    )
    assert found == sorted(
        [
            ("S82.0", 1, 2),
            ("TWO", 1, 10),
            ("TWO", 3, 10),
            ("FAR", 3, 20),
            ("HEN", 0, 14),
            ("OLD", 0, 16),
            ("Q99", 0, 0),
            (None, 0, 0),
        ],
        key=lambda row: (row[0] is None, row),
    )
    assert done.rows("observation", "observation_source_value, observation_concept_id, value_as_concept_id") == [
        ("VAL", 12, 13)
    ]


def test_a_code_without_a_concept_has_a_reason(done: Clinic) -> None:
    reasons = dict(done.rows("unmapped", "code, reason"))
    assert reasons == {"HEN": "circular map", "OLD": "not standard", "Q99": "unknown code", None: "no code"}


def test_a_domain_without_a_table_is_kept_aside(done: Clinic) -> None:
    assert done.rows("quarantine", "file, rule, record, reason, columns") == [
        ("diagnoses", "diagnoses", 6, "no table", "code")
    ]


def test_periods_and_eras_are_derived(done: Clinic) -> None:
    periods = done.rows("observation_period", "observation_period_start_date, observation_period_end_date")
    assert periods == [(date(2019, 2, 1), date(2019, 2, 9)), (date(2020, 5, 30), date(2020, 6, 5))]
    eras = done.rows(
        "condition_era",
        "condition_concept_id, condition_era_start_date, condition_era_end_date, condition_occurrence_count",
    )
    assert eras == [(1, date(2019, 2, 2), date(2019, 2, 3), 2), (3, date(2019, 2, 2), date(2019, 2, 3), 2)]


def test_the_source_and_the_plan_are_named_in_the_tables(done: Clinic) -> None:
    (source,) = done.rows(
        "cdm_source",
        "cdm_source_abbreviation, cdm_version, cdm_version_concept_id, vocabulary_version, cdm_release_date",
    )
    assert source == ("CLINIC", "5.4", 756265, "v5.0 01-JAN-26", date(2026, 2, 2))
    assert manifest_of(done.places)["plan"] in dict(done.rows("metadata", "name, value_as_string")).values()


def test_every_row_read_is_left_out_kept_aside_or_made(done: Clinic) -> None:
    report = manifest_of(done.places)
    assert report["files"]["patients"]["records"] == 3 == report["tables"]["person"]["rows"]
    assert report["left_out"] == {"death": 2} and report["tables"]["death"]["rows"] == 1


def test_nothing_runs_without_a_signature_over_this_very_plan(clinic: Clinic) -> None:
    with pytest.raises(HarmonisationError, match="Nobody has signed"):
        clinic.run()
    running.pilot(clinic.work, 1.0)
    with pytest.raises(HarmonisationError, match="Nobody has signed"):
        clinic.run()
    clinic.signed()
    changed = Clinic(clinic.folder, clinic.warehouse, PLAN.replace("8532", "8507"))
    with pytest.raises(HarmonisationError, match="Nobody has signed"):
        changed.run()
    folder = next((clinic.home / "harmonised" / "clinic" / "pilots").iterdir())
    report = folder / "report.json"
    report.write_text(report.read_text().replace('"records": 3', '"records": 4'))
    with pytest.raises(HarmonisationError, match="changed after they were signed"):
        clinic.run()
    assert history(clinic.places) == History() and not clinic.log


@pytest.mark.long
def test_a_new_pilot_takes_the_old_signature_away(clinic: Clinic) -> None:
    clinic.signed()
    running.pilot(clinic.work, 0.5)
    with pytest.raises(HarmonisationError, match="Nobody has signed"):
        clinic.run()


@pytest.mark.long
def test_a_run_demands_the_pilots_vocabulary(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, vocabulary(tmp_path))
    clinic.write()
    clinic.signed()
    vocabulary(tmp_path, "v5.0 01-FEB-26")
    with pytest.raises(HarmonisationError, match="another one than that of the signed pilot"):
        clinic.run()


def test_a_sample_takes_persons_with_all_their_rows(clinic: Clinic) -> None:
    clinic.write({
        "patients": "mrn,sex,born,died\n" + "".join(f"p{n},F,01/01/1980,\n" for n in range(400)),
        "diagnoses": "mrn,stay,code,day\n" + "".join(f"p{n % 400},,J18,02/02/2019\n" for n in range(1200)),
    })  # fmt: skip
    report = running.pilot(clinic.work, 0.25)
    persons = report["tables"]["person"]["rows"]
    assert 60 < persons < 140
    assert report["tables"]["condition_occurrence"]["rows"] == 3 * persons
    assert not [each for each in report["aside"] if each["reason"] == "unknown person" and each["file"] == "diagnoses"]


def test_a_second_run_makes_nothing_twice_and_a_changed_file_only_what_depends_on_it(clinic: Clinic) -> None:
    first = clinic.made()
    again = clinic.run()
    assert (again.snapshot, again.published, again.made) == (first.snapshot, False, 0)
    before = clinic.everything()
    clinic.write({"diagnoses": FILES["diagnoses"] + "3,,J18,02/01/2024\n"})
    second = clinic.run()
    assert second.published and second.snapshot != first.snapshot
    assert 0 < second.made < first.made + first.found and second.found >= 11
    after = clinic.everything()
    assert len(after["condition_occurrence"]) == len(before["condition_occurrence"]) + 1
    assert set(before["condition_occurrence"]) < set(after["condition_occurrence"])  # rows keep their numbers
    assert {name for name in after if after[name] != before[name]} == {
        "condition_occurrence",
        "condition_era",
        "observation_period",
    }
    person = [clinic.places.snapshots / each.snapshot / "person" / "0000.parquet" for each in (first, second)]
    assert person[0].samefile(person[1])


def test_undone_and_redone(clinic: Clinic) -> None:
    first = clinic.made()
    before = clinic.everything()
    clinic.write({"stays": FILES["stays"] + "3,a,ward,01/01/2024,02/01/2024\n"})
    second = clinic.run()
    after = clinic.everything()
    with pytest.raises(HarmonisationError, match="Nothing was undone"):
        step_forward(clinic.places, clinic.audit)
    assert step_back(clinic.places, clinic.audit) == first.snapshot
    assert clinic.everything() == before
    with pytest.raises(HarmonisationError, match="no earlier snapshot"):
        step_back(clinic.places, clinic.audit)
    assert step_forward(clinic.places, clinic.audit) == second.snapshot
    assert clinic.everything() == after
    assert [kind for kind, _ in clinic.log] == ["tables.published"] * 2 + ["tables.undone", "tables.redone"]


def test_without_an_entry_in_the_log_readers_see_nothing(clinic: Clinic) -> None:
    clinic.signed()

    def refuse(kind: str, facts: dict[str, object]) -> None:
        raise HarmonisationError("The log cannot be written.", remedy="-")

    with pytest.raises(HarmonisationError, match="log cannot be written"):
        running.run(clinic.work, refuse)
    assert history(clinic.places) == History()


def test_no_other_run_of_the_source_at_the_same_time(clinic: Clinic) -> None:
    clinic.signed()
    seen: list[str] = []

    def meanwhile(kind: str, facts: dict[str, object]) -> None:
        with pytest.raises(HarmonisationError, match="harmonised already"):
            clinic.run()
        seen.append(kind)

    running.run(clinic.work, meanwhile)
    assert seen == ["tables.published"]


@pytest.mark.long
def test_a_lost_key_is_no_new_key(clinic: Clinic) -> None:
    clinic.made()
    (clinic.home / "harmonised" / "pseudonym.key").unlink()
    with pytest.raises(HarmonisationError, match="key of pseudonyms is not there"):
        clinic.run()


@pytest.mark.long
def test_another_key_gives_other_numbers(clinic: Clinic) -> None:
    clinic.made()
    before = clinic.rows("person", "person_id")
    (clinic.home / "harmonised" / "pseudonym.key").write_bytes(b"k" * 32)
    clinic.run()
    assert not set(before) & set(clinic.rows("person", "person_id"))


def test_identifiers_are_in_no_table_report_or_log(clinic: Clinic) -> None:
    clinic.write(
        {
            "patients": FILES["patients"].replace("\n1,", "\nSECRET-MRN,"),
            "diagnoses": FILES["diagnoses"].replace("\n1,", "\nSECRET-MRN,"),
        }
    )
    clinic.made()
    found = [path for path in clinic.home.rglob("*") if path.is_file() and b"SECRET-MRN" in path.read_bytes()]
    inside = {path.relative_to(clinic.places.folder).parts[0] for path in found}
    assert inside <= {"steps"}  # what was read of the files, beside the tables
    assert "SECRET-MRN" not in json.dumps(clinic.log, default=str)


def test_explained(done: Clinic) -> None:
    said = words(explain(done.places, done.warehouse, "condition_occurrence.condition_concept_id", 1))
    assert said[1] == (
        "Rule `diagnoses` fills it from `code` of diagnoses.csv: the standard concept that the code of ICD10CM maps to (`Maps to`), "  # noqa: E501
        "0 where there is none; the concept's domain picks the table. Ada Example decided so on 2026-02-01. Why: Discharge diagnoses. "  # noqa: E501
        "8 rows, of which 4 are 0: no concept."
    )
    assert said[2] == "Concept 1 is Fracture of bone (SNOMED, domain Condition): 2 rows."
    assert '  ICD10CM S82.0 (Fracture "closed") maps to it: 1 rows.' in said
    assert said[-1].startswith("Plan ") and "signed by Ada Example on 2026-02-02" in said[-1]
    birth = words(explain(done.places, done.warehouse, "person.year_of_birth", None))
    assert "the year written as %d/%m/%Y (so said Dr Rossi, 2026-01-12)" in birth[1]
    era = words(explain(done.places, done.warehouse, "condition_era.condition_era_start_date", None))
    assert era[1].startswith("Derived: conditions of one concept")


def test_every_field_of_every_table_has_an_origin(done: Clinic) -> None:
    fields = provenance(done.places)["fields"]
    tables = {path.name for path in (done.places.snapshots / history(done.places).current).iterdir() if path.is_dir()}
    for table in tables - {"quarantine", "unmapped"}:
        assert {each["field"] for each in fields if each["table"] == table} == {
            column.name for column in TABLES[table].columns
        }


@pytest.mark.parametrize("place", ["person.shoe_size", "person", "shoes.size"])
def test_a_field_that_the_model_has_not(done: Clinic, place: str) -> None:
    with pytest.raises(HarmonisationError, match="no such field"):
        explain(done.places, done.warehouse, place, None)


def test_a_reader_sees_one_snapshot_of_the_models_tables_and_no_other_file(done: Clinic) -> None:
    with opened(done.places) as connection:
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (3,)
        described = [row[0] for row in connection.execute("DESCRIBE condition_occurrence").fetchall()]
        assert described == [column.name for column in TABLES["condition_occurrence"].columns]
        assert connection.execute("SELECT count(*) FROM specimen").fetchone() == (0,)  # every table is there
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"SELECT * FROM read_text('{done.home}/harmonised/pseudonym.key')")


@pytest.mark.long
def test_a_reader_keeps_its_snapshot_while_another_is_published(clinic: Clinic) -> None:
    clinic.made()
    with opened(clinic.places) as connection:
        clinic.write({"patients": FILES["patients"] + "4,F,01/01/1970,\n"})
        clinic.run()
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (3,)
    with opened(clinic.places) as connection:
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (4,)


def test_two_rows_with_one_number_stop_a_run(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(rows, "row_number_base", lambda *names: "-r._record * 128")  # whose place it takes away again
        with pytest.raises(HarmonisationError, match="Two rows of `condition_occurrence` got one number"):
            running.pilot(clinic.work, 1.0)
    macros = (MACROS[0], "CREATE TEMP MACRO keyed_id(said) AS CAST(5 AS BIGINT)")
    monkeypatch.setattr(engine, "MACROS", macros)
    plan = replace(clinic, plan=clinic.plan.replace("source: ", "source: new", 1))
    with pytest.raises(HarmonisationError, match="Two rows of `person` got one number"):
        running.pilot(plan.work, 1.0)

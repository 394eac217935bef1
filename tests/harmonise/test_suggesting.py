"""A drafted plan: what is suggested beside what people decided, and that nothing of it is used before they have."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonise import ward_export
from harmonise.clinic import Clinic, vocabulary
from harmonise.synthea import DATA, synthea
from sojourn.cli import main
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running, suggesting
from sojourn.node.harmonise.suggesting import Draft, draft, write
from sojourn.omop.open_places import OPEN, demand_closed
from sojourn.omop.plan import Plan
from sojourn.omop.plan_files import File
from sojourn.omop.suggesting import suggest
from sojourn.omop.suggesting_text import text

DECIDED = {"by": "Ada Example", "day": "2026-02-01"}
# Roles of the hand-made plan's fields, where they are not the field's own name.
ROLES = {"verbatim_end_date": "end", "person_source_value": "row", "visit_concept_id": "kind", "source_value": "row"}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ward_export.write(tmp_path_factory.mktemp("ward") / "export")


@pytest.fixture(scope="module")
def drafted(ward: Path) -> Draft:
    return draft(ward)


def hand_made(plan: Plan) -> dict[tuple[str, str], set[str]]:
    """What each column of the export is, by a plan that people made."""
    found: dict[tuple[str, str], set[str]] = {}

    def add(file: str, column: str, role: str) -> None:
        found.setdefault((file, column), set()).add(role)

    for name, file in plan.files.items():
        for column in (*file.key, file.person):
            add(name, column, "row" if column in file.key else "person")
    for rule in plan.rules.values():
        if rule.concept:
            for column, role in zip(rule.concept.columns, ("code", "vocabulary"), strict=False):
                add(rule.file, column, role)
        for field, filling in rule.fields.items():
            role = ROLES.get(field, field.removesuffix("_concept_id").removesuffix("_source_value"))
            role = "birth" if "birth" in field else "death" if rule.to == "death" else role
            columns = (filling.column, filling.pseudonym, *filling.moment[:1], *filling.of)
            for column in columns:
                if column:
                    add(rule.file, column, role)
    return found


def agreeing(made: Draft, wanted: Mapping[tuple[str, str], set[str]]) -> tuple[int, int]:
    """How many columns that people used are suggested so at first, and how many that they did not use are used."""
    said = {(each.name, name): column.role for each in made.likely for name, column in each.columns.items()}
    right = sum(said.get(place) in roles for place, roles in wanted.items())
    return right, sum(bool(role) for place, role in said.items() if place not in wanted)


def accepted(made: Draft, answers: Mapping[str, Any]) -> str:
    """The draft after a person has answered and accepted all. answers: by the end of a place's path."""

    def close(given: Any, place: str) -> Any:
        if isinstance(given, dict):
            kept = {word: close(inner, f"{place}.{word}") for word, inner in given.items() if word != "suggestion"}
            return {**kept, "decided": DECIDED} if "suggestion" in given else kept
        if isinstance(given, list):
            return [close(inner, place) for inner in given]
        return next(answer for end, answer in answers.items() if place.endswith(end)) if given == OPEN else given

    document = close(yaml.safe_load(made.text), "")
    document.pop("questions", None)
    return yaml.safe_dump(document, sort_keys=False)


ANSWERS = {
    ".answered": "Dr Rossi, 2026-01-12", ".time_zone": "Europe/Rome", ".zone": "Europe/Rome", ".released": "2026-01-31",
    ".earliest": "1900-01-01", ".latest": "2199-12-31", ".type": 32817, ".decimal": ".", ".name": "A ward",
    ".concept.vocabulary": "ICD10CM", ".ICD10": "ICD10CM", ".wellness": 9202, ".snf": 42898160, ".ELECTIVE": 9201,
    ".URGENT": 9201, ".EW EMER.": 9203, ".start": {"date": "seen", "form": "moment"}, ".abbreviation": "WARD",
    ".holder": "Nobody",
}  # fmt: skip


def test_columns_of_another_export(drafted: Draft) -> None:
    assert {each.name: each.table.role for each in drafted.likely} == ward_export.TABLES
    wanted = {(file, name): {role} for file, names in ward_export.ROLES.items() for name, role in names.items()}
    right, more = agreeing(drafted, wanted)
    assert (len(wanted), right) == (24, 22) and more <= 2


@pytest.mark.long
def test_columns_of_the_tutorial_beside_the_plan_that_people_made(tmp_path: Path) -> None:
    plan = Plan.from_yaml((DATA / "plan.yaml").read_text(encoding="utf-8"))
    made = draft(DATA / "source")
    wanted = hand_made(plan)
    right, more = agreeing(made, wanted)
    assert len(wanted) == 26 and right >= 25 and more <= 2
    own = Clinic(tmp_path / "own", tmp_path / "warehouse.duckdb", accepted(made, {**ANSWERS, ".time_zone": "UTC"}))
    theirs = synthea(tmp_path)
    tables = [running.pilot(each, 1.0)["tables"] for each in (theirs.work, _beside(own, theirs))]
    counts = [{name: table["rows"] for name, table in each.items()} for each in tables]
    # The draft has no observation_period, which nobody suggested.
    assert {**counts[0], "observation_period": 0} == {"observation_period": 0, **counts[1]}


def _beside(own: Clinic, other: Clinic) -> running.Work:
    return running.Work(own.home, other.warehouse, own.plan, other.export)


def test_a_draft_is_refused_until_all_is_answered_and_accepted(drafted: Draft, ward: Path, tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, tmp_path / "warehouse.duckdb", drafted.text)
    with pytest.raises(HarmonisationError, match="The plan is a draft") as told:
        running.pilot(running.Work(clinic.home, clinic.warehouse, drafted.text, ward), 1.0)
    assert "decided: {by: NAME" in told.value.remedy and not clinic.home.exists()
    document = yaml.safe_load(drafted.text)
    whole = yaml.safe_load(accepted(drafted, ANSWERS))
    demand_closed(whole)
    for word in ("about", "time_zone", "dates", "rules"):  # one open part is enough
        with pytest.raises(HarmonisationError, match="The plan is a draft"):
            Plan.from_yaml(yaml.safe_dump({**whole, word: document[word]}))
    with pytest.raises(HarmonisationError, match="`questions`"):
        Plan.from_yaml(yaml.safe_dump({**whole, "questions": ["patients: is there more?"]}))
    rule = {**whole["rules"]["person"], "suggestion": document["rules"]["person"]["suggestion"]}
    with pytest.raises(HarmonisationError, match=r"`rules\.person\.suggestion`"):  # decided on, and still a suggestion
        Plan.from_yaml(yaml.safe_dump({**whole, "rules": {**whole["rules"], "person": rule}}))


@pytest.mark.long
def test_an_accepted_draft_makes_tables(drafted: Draft, ward: Path, tmp_path: Path) -> None:
    plan = yaml.safe_load(accepted(drafted, ANSWERS))
    del plan["rules"]["diagnoses_icd"]  # without a date, which the draft asks for
    report = running.pilot(running.Work(tmp_path / "node", vocabulary(tmp_path), yaml.safe_dump(plan), ward), 1.0)
    rows = {name: table["rows"] for name, table in report["tables"].items()}
    assert rows["person"] == rows["visit_occurrence"] == rows["drug_exposure"] == 150 and rows["measurement"] == 450
    assert rows["death"] == 17 and not report["aside"]


def test_what_no_file_says_is_asked(drafted: Draft, tmp_path: Path) -> None:
    document = yaml.safe_load(drafted.text)
    assert document["dates"]["moment"] == {"form": "%Y-%m-%d %H:%M:%S", "zone": OPEN, "answered": OPEN}
    assert document["rules"]["diagnoses_icd"]["concept"]["vocabulary"] == OPEN  # whose edition of ICD-10?
    assert document["rules"]["labevents"]["result"]["decimal"] == OPEN and document["time_zone"] == OPEN
    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = "".join(f"{n},{'MF'[n % 2]},0{1 + n % 9}/0{1 + n % 7}/1970\n" for n in range(30))
    (folder / "patients.csv").write_text("mrn,sex,born\n" + rows)
    made = draft(folder)
    assert yaml.safe_load(made.text)["dates"]["asked"] == {"form": OPEN, "answered": OPEN}
    assert "Day or month first?" in made.text


def test_no_rare_value_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = "".join(f"SECRET{n},{'M' if n else 'HIDDEN'},01/01/1970\n" for n in range(30))
    (folder / "patients.csv").write_text("mrn,sex,born\n" + rows)
    made = draft(folder)
    assert "SECRET" not in made.text and "HIDDEN" not in made.text and "1 more values" in made.text


def test_a_draft_is_its_owners_and_never_written_over(drafted: Draft, tmp_path: Path) -> None:
    write(drafted, tmp_path / "plan.yaml")
    assert (tmp_path / "plan.yaml").stat().st_mode & 0o077 == 0
    with pytest.raises(HarmonisationError, match="a file of that name"):
        write(drafted, tmp_path / "plan.yaml")


def test_without_persons_there_is_no_draft(tmp_path: Path) -> None:
    (tmp_path / "things.csv").write_text("a,b\n1,2\n1,3\n")
    with pytest.raises(HarmonisationError, match="likely to hold the persons"):
        suggesting.draft(tmp_path)


def clinic(folder: Path, **files: str) -> Draft:
    """The draft of an export of these CSV files beside three hundred patients, one of whom is there twice."""
    folder.mkdir()
    patients = [f"P{n:05},{'MF'[n % 2]},19{40 + n % 50}-0{1 + n % 9}-1{n % 9}" for n in (*range(300), 3)]
    for name, rows in {"patients": "\n".join(["pid,sex,born", *patients]) + "\n", **files}.items():
        (folder / f"{name}.csv").write_text(rows, encoding="utf-8")
    return draft(folder)


def test_one_patient_who_is_there_twice_is_asked_and_all_is_drafted(tmp_path: Path) -> None:
    codes = "".join(f"P{n:05},2021-03-1{n % 9},{('I10', 'E11.9', 'J18.9')[n % 3]}\n" for n in range(300))
    made = clinic(tmp_path / "clinic", diagnoses="pid,day,icd\n" + codes)
    document = yaml.safe_load(made.text)
    asked = "patients: pid is nearly a key: 1 of 301 rows repeat a value of another row. Which of them holds?"
    assert asked in document["questions"] and "P00003" not in made.text
    assert document["files"]["patients"] == {"path": "patients.csv", "key": "pid", "person": "pid"}
    assert set(document["rules"]) == {"person", "diagnoses"}


def test_tables_of_databases_are_drafted_as_a_plan_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is said to be drafted is what the draft has rules for."""
    export, home = tmp_path / "export", tmp_path / "plan.yaml"
    clinic(export)
    stays = [(n + 1, f"P{n % 300:05}", f"2021-01-1{n % 9}", f"2021-01-2{n % 9}") for n in range(400)]
    with closing(sqlite3.connect(export / "his.sqlite")) as lite:
        lite.execute("CREATE TABLE stays (stay_id INTEGER PRIMARY KEY, pid TEXT, adm DATE, dis DATE)")
        lite.executemany("INSERT INTO stays VALUES (?, ?, ?, ?)", stays)
        lite.execute('CREATE TABLE "labs.old" AS SELECT pid, adm AS day, 1.5 AS result FROM stays')
        lite.commit()
    with duckdb.connect(str(export / "lab.duckdb")) as to:
        to.execute("CREATE SCHEMA ward; CREATE TABLE ward.diagnoses (pid TEXT, day DATE, icd TEXT)")
        to.executemany("INSERT INTO ward.diagnoses VALUES (?, ?, ?)", [(row[1], row[2], "I10") for row in stays])
    with pytest.raises(SystemExit):
        main(["harmonise", "suggest", str(export), "--out", str(home), "--json"])
    document = yaml.safe_load(home.read_text())
    assert document["files"] == {
        "stays": {"database": "his", "table": "stays", "key": "stay_id", "person": "pid"},
        "diagnoses": {"database": "lab", "table": "ward.diagnoses", "person": "pid"},
        "patients": {"path": "patients.csv", "key": "pid", "person": "pid"},
    }
    assert "# name it in the node's settings: sources: {his: {file: his.sqlite}}" in home.read_text()
    said = {each["file"]: (each["drafted"], each["why not"]) for each in json.loads(capsys.readouterr().out)["files"]}
    of_rules = {rule["file"] for rule in document["rules"].values()}
    assert {name for name, (drafted, why) in said.items() if drafted and not why} == of_rules
    assert said["labs.old"][1] and said["labs.old"][1] in home.read_text()
    assert all(File(**words).person == "pid" for words in document["files"].values())


LABS = "".join(f"{n},P{n % 300:05},2021-01-1{n % 9},2345-7,{n / 10},mmol/L\n" for n in range(600))
HEAD = "no,pid,day,loinc,result,unit\n"


def test_files_that_differ_in_a_number_are_one_source_of_several(tmp_path: Path) -> None:
    """Its key may be there again in each file, so the draft has none."""
    made = clinic(tmp_path / "a", lab_2023=HEAD + LABS, lab_2024=HEAD + LABS)
    document = yaml.safe_load(made.text)
    assert document["files"]["lab"] == {"path": "lab_*.csv", "person": "pid"}
    assert set(document["rules"]) == {"person", "lab"} and document["rules"]["lab"]["concept"]["code"] == "loinc"
    assert "2 files of equal columns" in document["rules"]["lab"]["suggestion"]["table"]["reason"]
    named = clinic(tmp_path / "b", lab_2023=HEAD + LABS, lab_2024=HEAD + LABS, lab_old="a,b\n1,2\n")
    assert yaml.safe_load(named.text)["files"]["lab"]["path"] == ["lab_2023.csv", "lab_2024.csv"]


@pytest.mark.parametrize(
    "other", [HEAD.replace("no,", "nr,") + LABS, HEAD.replace(",", ";") + LABS.replace(",", ";"),
              HEAD + LABS.replace("2021-01-1", "11.01.202")]
)  # fmt: skip
def test_files_that_are_written_otherwise_stay_alone(tmp_path: Path, other: str) -> None:
    document = yaml.safe_load(clinic(tmp_path / "a", lab_2023=HEAD + LABS, lab_2024=other).text)
    assert [words["path"] for words in document["files"].values()] == ["lab_2023.csv", "lab_2024.csv", "patients.csv"]


def test_names_of_medicines_without_codes_are_drafted_as_such(tmp_path: Path) -> None:
    names = ("Paracetamol 500 mg tab", "Aspirin 100 mg", "Metformin 850 mg")
    rows = "".join(f"P{n % 300:05},2021-01-1{n % 9},{names[n % 3]}\n" for n in range(400))
    rule = yaml.safe_load(clinic(tmp_path / "a", orders="pid,day,drug\n" + rows).text)["rules"]
    assert "orders" not in rule  # nothing tells that these are medicines given
    rule = yaml.safe_load(clinic(tmp_path / "b", drugs="pid,day,drug\n" + rows).text)["rules"]["drugs"]
    assert (rule["to"], rule["medicine"]) == ("drug_exposure", {"name": "drug"}) and "concept" not in rule
    coded = "".join(f"{row},B01AC0{n % 9}\n" for n, row in enumerate(rows.splitlines()))
    rule = yaml.safe_load(clinic(tmp_path / "c", drugs="pid,day,drug,atc\n" + coded).text)["rules"]["drugs"]
    assert "medicine" not in rule and rule["concept"]["code"] == "atc"


def test_a_few_small_numbers_refer_to_nothing(tmp_path: Path) -> None:
    stays = "".join(f"{n + 1},P{n % 300:05},2021-01-1{n % 9},2021-01-2{n % 9}\n" for n in range(400))
    labs = "".join(f"P{n % 300:05},2021-01-1{n % 9},2345-7,{n / 10},mmol/L,{10 + n % 3 * 10}\n" for n in range(600))
    made = clinic(
        tmp_path / "clinic",
        stays="stay_id,pid,adm,dis\n" + stays,
        labs="pid,day,loinc,result,unit,pieces\n" + labs.replace(",4.2,", ",<0.5,"),
    )
    (of_labs,) = (each.columns for each in made.likely if each.name == "labs")
    assert of_labs["pieces"].role == "" and of_labs["pid"].role == "person"
    assert "results" in made.text and "resultss" not in made.text


words = st.text(min_size=1, max_size=12)
documents = st.recursive(
    st.none() | st.integers() | words.filter(lambda each: each != OPEN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words.filter(lambda each: each not in ("questions", "suggestion")), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(documents, st.lists(words | st.none(), max_size=5), st.sampled_from([OPEN, {"suggestion": {}}]))
def test_an_open_place_is_found_wherever_it_is(beside: Any, path: list[str | None], left: Any) -> None:
    demand_closed({"a": beside})
    for word in path:
        left = [beside, left] if word is None else {"beside": beside, word: left}
    with pytest.raises(HarmonisationError, match="The plan is a draft"):
        demand_closed({"a": beside, "b": left})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=4, unique_by=str.casefold),
    st.lists(words, min_size=1, max_size=3, unique=True),
    st.lists(words, max_size=3, unique=True),
)
def test_a_draft_is_sound_whatever_things_are_called(files: list[str], names: list[str], levels: list[str]) -> None:
    """Names of files, columns and values, and what they hold, never become words of the document."""
    plain = {"type": "text", "length": [1, 9], "values": {"frequent": dict.fromkeys(levels, 10), "others": 0}}
    key = {"name": "id", "type": "text", "length": [1, 9], "key": "each value is there once"}
    sex = {**plain, "name": "sex"}
    columns = [key, sex, *({**plain, "name": name} for name in names if name not in ("id", "sex"))]
    tables = [
        {"table": name, "source": f"{name}.csv", "kind": "CSV", "rows": 10, "keys": ["id"], "columns": columns,
         "questions": [], "problems": []}
        for name in ("patients", *files) if name == "patients" or name.casefold() != "patients"
    ]  # fmt: skip
    made = text("source", suggest({"tables": tables}, []))
    with pytest.raises(HarmonisationError, match="The plan is a draft"):
        Plan.from_yaml(made)
    assert next(iter(yaml.safe_load(made)["rules"])) == "person"

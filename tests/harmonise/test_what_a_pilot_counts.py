"""What a pilot counts and asks, so that nothing is lost in silence: values, decisions, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harmonise.clinic import CONCEPTS, FILES, MAPS, PLAN, Clinic, vocabulary
from sojourn.cli import app
from sojourn.errors import HarmonisationError
from sojourn.node import program
from sojourn.node.harmonise import running
from sojourn.node.harmonise.commands_run import _public, tell
from sojourn.node.harmonise.publishing import manifest_of
from sojourn.omop import values

RULE = """
  labs:
    file: labs
    to: measurement
    where: test <> 'none'
    decided: {by: Ada Example, day: 2026-02-01}
    concept: {code: test, vocabulary: LOINC}
    result: {value: result, decimal: "."}
    fields: {start: {date: day, form: day}, type: 32856}
observation_period"""
LABS = PLAN.replace("rules:\n", "  labs: {path: labs.csv, person: mrn}\nrules:\n", 1).replace(
    "\nobservation_period", RULE, 1
)
RESULTS = [*["8,3"] * 4, "<0,5", "1,2-1,9", "1,200", "7.1", "3.0 - 4.0", "", *["haemolysed"] * 10, "Smith's own"]
DECIDED = """decisions:
  - {{vocabulary: ICD10CM, code: Q99, concepts: [{0}], by: Dr Rossi, day: 2026-01-05}}
  - {{vocabulary: ICD10CM, code: Secret, concepts: [{1}], by: Dr Rossi, day: 2026-01-05}}
observation_period"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tests = [(31, "Hemoglobin", "Measurement", "LOINC", "Lab Test", "S", "718-7")]
    return vocabulary(tmp_path_factory.mktemp("vocabulary"), concepts=[*CONCEPTS, *tests], maps=MAPS)


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse)
    made.write()
    return made


def labs(clinic: Clinic, results: list[str]) -> None:
    clinic.plan = LABS
    rows = [f'1,718-7,"{each}",01/02/2019' for each in results] + ["1,none,text,01/02/2019"]
    clinic.write({"labs": "mrn,test,result,day\n" + "\n".join(rows) + "\n"})


def test_values_without_a_number_are_counted_and_the_sign_before_decimals_is_asked(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    labs(clinic, RESULTS)
    report = running.pilot(clinic.work, 1.0)
    found = report["results"]["labs"]
    words = ("values", "numbers", "ranges", "texts", "other_sign", "grouped")
    assert [found[word] for word in words] == [20, 2, 1, 17, 6, 1]
    assert found["listed"] == [{"text": "haemolysed", "rows": 10}]  # rarer ones may tell of a person
    signs = [each for each in report["doubts"] if "rule `labs`" in each]
    assert "6 values of rule `labs` are numbers only if `,` is the sign" in signs[0] and "says `.`" in signs[0]
    assert "In 1 values of rule `labs` `,` was read as a sign between thousands" in signs[1]
    page = next((clinic.places.folder / "pilots").glob("*/report.html")).read_text()
    assert "2 of 20 have a number" in page and "haemolysed" in page and "Smith" not in page
    tell(_public(report))
    said = capsys.readouterr().out
    assert "Measured values" in said and "haemolysed" not in said and "haemolysed" not in str(_public(report))


def test_values_with_the_sign_that_the_plan_says_are_not_asked(clinic: Clinic) -> None:
    labs(clinic, ["8.3", "<0.5", "1.2-1.9", "7"])
    assert not [each for each in running.pilot(clinic.work, 1.0)["doubts"] if "of rule `labs`" in each]


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[<0-9.,a -]{0,8}", fullmatch=True), max_size=30), st.sampled_from([".", ","]))
def test_counts_are_those_of_the_reader(results: list[str], decimal: values.Decimal) -> None:
    import duckdb

    from sojourn.node.harmonise.reporting_results import _other, _read_sql
    from sojourn.omop.plan import Rule

    rule = Rule.model_validate({
        "file": "labs", "to": "measurement", "decided": {"by": "A", "day": "2026-01-01"},
        "result": {"value": "result", "decimal": decimal},
    })  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE stage_labs (result VARCHAR)")
        connection.executemany("INSERT INTO stage_labs VALUES (?)", [[each] for each in ["", *results]])
        read = _read_sql(rule, "result", decimal)
        counts = connection.execute(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (n_number IS NOT NULL), 0), "
            "coalesce(sum(rows) FILTER (n_text IS NOT NULL AND coalesce(o_number, o_low) IS NOT NULL), 0) "
            f"FROM ({read})"
        ).fetchone()
    said = [each for each in results if each.strip()]
    one = [values.read(each, decimal) for each in said]
    other = [values.read(each, _other(decimal)) for each in said]
    turned = sum(a.text is not None and b.text is None for a, b in zip(one, other, strict=True))
    assert counts == (len(said), sum(each.number is not None for each in one), turned)


def test_a_concept_of_a_decision_that_the_vocabulary_has_not_is_refused(clinic: Clinic) -> None:
    for concepts in ("1, 999999", "999999"):
        clinic.plan = PLAN.replace("observation_period", DECIDED.format(concepts, 1), 1)
        with pytest.raises(HarmonisationError, match=r"no concept 999999 .decision 1, ICD10CM") as refused:
            running.pilot(clinic.work, 1.0)
        assert "mend the plan" in refused.value.remedy and not list(clinic.places.folder.glob("pilots/*"))


def test_decisions_that_no_row_uses_or_that_are_not_standard_are_asked(clinic: Clinic) -> None:
    clinic.plan = PLAN.replace("observation_period", DECIDED.format("2", "1"), 1)
    doubts = running.pilot(clinic.work, 1.0)["doubts"]
    assert any("Concept 2 (decision 1, ICD10CM) is not a standard concept" in each for each in doubts)
    (unused,) = [each for each in doubts if "uses" in each]
    assert unused.startswith("No row uses decision 2, ICD10CM: are") and "Secret" not in str(doubts)
    clinic.write({"diagnoses": FILES["diagnoses"].replace("S82.0", "Secret")})
    assert not [each for each in running.pilot(clinic.work, 1.0)["doubts"] if "uses" in each]


def test_a_pilot_that_cannot_be_signed_does_not_say_sign(clinic: Clinic) -> None:
    clinic.write({"stays": "mrn,stay,kind,from,until\n1,a,kitchen,01/02/2019,09/02/2019\n"})
    program.create(clinic.home, "Hill", "none")
    plan = clinic.folder / "plan.yaml"
    words = ["--share", "1", "--home", str(clinic.home), "--warehouse", str(clinic.warehouse)]
    for limit, signs in (("0.01", False), ("1", True)):
        plan.write_text(clinic.plan.replace("quarantine_at_most: 1", f"quarantine_at_most: {limit}"))
        said = CliRunner().invoke(app, ["harmonise", "pilot", str(plan), str(clinic.export), *words]).output
        assert ("harmonise sign" in said) == signs == ("It cannot be signed so" not in said), said


def test_a_file_of_which_much_is_kept_aside_is_told_by_the_run(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "mrn,stay,code,day\n"
    clinic.plan = PLAN.replace("path: diagnoses.csv", "path: diagnoses_*.csv")
    clinic.plan = clinic.plan.replace("quarantine_at_most: 1", "quarantine_at_most: 0.1")
    clinic.write({"diagnoses_2019": head + "1,,J18,02/02/2019\n" * 60})
    clinic.signed()
    assert clinic.run().report["files_aside"] == []
    clinic.write({"diagnoses_2020": head + "1,,J18,2020-02-02\n" * 3 + "1,,J18\n" + "1,,J18,02/02/2020\n"})
    run = clinic.run()
    told = [{"file": "diagnoses", "path": "diagnoses_2020.csv", "rows": 5, "aside": 4}]
    assert run.published and run.report["files_aside"] == told == manifest_of(clinic.places)["files_aside"]
    tell(_public(run.report))
    assert "Warning: of diagnoses_2020.csv 4 of 5 rows are kept aside" in capsys.readouterr().out
    assert json.dumps(_public(run.report)["files_aside"])

"""Measured values on their way: operators, texts, spellings of units, molar conversion; the originals stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonise.clinic import CONCEPTS, MAPS, PLAN, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.explaining import explain, words
from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan
from sojourn.omop.reasons import EMPTY_OR_ZERO

RULE = """
  labs:
    file: labs
    to: measurement
    decided: {by: Ada Example, day: 2026-02-01}
    concept: {code: test, vocabulary: LOINC}
    result: {value: result_text, unit: unit, decimal: ".", units: {2345-7: mmol/L}}
    fields: {start: {date: day, form: day}, type: 32856}
observation_period"""
LABS = """test,result_text,unit,day
2345-7,90,mg/dL,01/02/2019
2345-7,5.1,mmol/L,01/02/2019
2345-7,<18,mg/dl,01/02/2019
2345-7,hemolysed,mg/dL,01/02/2019
2345-7,7,furlong,01/02/2019
718-7,13.5,G/DL,01/02/2019
718-7,13.9 g/dL,,01/02/2019
718-7,,,01/02/2019
2345-7,5.4 mmol/L,mg/dL,01/02/2019
2345-7,91 mg/dl,mg/dL,01/02/2019
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("laboratory")
    tests = [
        (30, "Glucose", "Measurement", "LOINC", "Lab Test", "S", "2345-7"),
        (31, "Hemoglobin", "Measurement", "LOINC", "Lab Test", "S", "718-7"),
        (8753, "millimole per liter", "Unit", "UCUM", "Unit", "S", "mmol/L"),
        (8840, "milligram per deciliter", "Unit", "UCUM", "Unit", "S", "mg/dL"),
        (8713, "gram per deciliter", "Unit", "UCUM", "Unit", "S", "g/dL"),
    ]
    warehouse = vocabulary(folder, concepts=[*CONCEPTS, *tests], maps=MAPS)
    plan = PLAN.replace("rules:\n", "  labs: {path: labs.csv, person: mrn}\nrules:\n", 1)
    clinic = Clinic(folder, warehouse, plan.replace("\nobservation_period", RULE, 1))
    clinic.write()
    first, *rest = LABS.strip().split("\n")
    clinic.write({"labs": "\n".join([f"mrn,{first}", *(f"1,{line}" for line in rest)]) + "\n"})
    clinic.made()
    return clinic


@pytest.fixture(scope="module")
def written(laboratory: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    """The same with a value under the other sign, and a range."""
    clinic = Clinic(tmp_path_factory.mktemp("written"), laboratory.warehouse, laboratory.plan)
    clinic.write({path.stem: path.read_bytes() for path in laboratory.export.glob("*.csv")})
    with (clinic.export / "labs.csv").open("a") as file:
        file.write('1,718-7,"8,3",g/dL,01/02/2019\n1,718-7,3-5,g/dL,01/02/2019\n')
    clinic.made()
    return clinic


def test_values_are_read_and_converted_and_kept_as_they_came(laboratory: Clinic) -> None:
    columns = "value_source_value, unit_source_value, round(value_as_number, 3), operator_concept_id, unit_concept_id"
    assert set(laboratory.rows("measurement", columns)) == {
        ("90", "mg/dL", 4.996, 4172703, 8753),
        ("5.1", "mmol/L", 5.1, 4172703, 8753),
        ("<18", "mg/dl", 0.999, 4171756, 8753),
        ("hemolysed", "mg/dL", None, None, 8753),
        ("7", "furlong", 7.0, 4172703, 0),
        ("13.5", "G/DL", 13.5, 4172703, 8713),
        ("13.9 g/dL", "g/dL", 13.9, 4172703, 8713),
        (None, None, None, None, None),
        ("5.4 mmol/L", "mg/dL", None, None, 0),
        ("91 mg/dl", "mg/dL", 5.051, 4172703, 8753),
    }


def test_units_that_cannot_be_read_are_told(laboratory: Clinic) -> None:
    report = running.pilot(laboratory.work, 1.0)
    listed = {(each["unit"], each["own"], each["rows"], each["reason"]) for each in report["units"]["labs"]["listed"]}
    assert listed == {("furlong", "", 1, "unknown unit"), ("mg/dL", "mmol/L", 1, "two units")}
    assert report["units"]["labs"]["two_units_rows"] == 1
    assert "another unit than the column" in report["doubts"][0]


def test_a_value_is_explained(laboratory: Clinic) -> None:
    said = words(explain(laboratory.places, laboratory.warehouse, "measurement.value_as_number", None))
    assert "from `result_text`, `unit` of labs.csv: the number in the value" in said[1]
    assert "converted to mmol/L for 2345-7" in said[1]


def test_a_plan_of_results_is_strict(tmp_path: Path) -> None:
    plan = PLAN.replace("rules:\n", "  labs: {path: labs.csv, person: mrn}\nrules:\n", 1)
    plan = plan.replace("\nobservation_period", RULE, 1)
    for change, said in (
        (("vocabulary: LOINC", "vocabulary: SNOMED"), "vocabulary is LOINC"),
        (('decimal: ".", ', ""), "result.decimal"),
        (("to: measurement", "to: condition_occurrence"), "measurement or observation"),
    ):
        with pytest.raises(HarmonisationError, match=said):
            Plan.from_yaml(plan.replace(*change))


@pytest.mark.parametrize("column", ["_record", "_file", "_RESULT_text"])
def test_a_column_called_as_a_run_calls_its_own_is_refused(column: str) -> None:
    plan = PLAN.replace("rules:\n", "  labs: {path: labs.csv, person: mrn}\nrules:\n", 1)
    asked = Plan.from_yaml(plan.replace("\nobservation_period", RULE.replace("result_text", column), 1))
    with pytest.raises(HarmonisationError, match="exported under another name"):
        compile_plan(asked)


def test_units_are_those_of_the_rules_own_rows(laboratory: Clinic, tmp_path: Path) -> None:
    plan = laboratory.plan.replace("    file: labs\n", "    file: labs\n    where: test = '718-7'\n", 1)
    clinic = Clinic(tmp_path, laboratory.warehouse, plan)
    clinic.write({path.stem: path.read_bytes() for path in laboratory.export.glob("*.csv")})
    units = running.pilot(clinic.work, 1.0)["units"]["labs"]
    assert (units["spellings"], units["unread_rows"], units["two_units_rows"]) == (2, 0, 0)  # G/DL and g/dL
    assert running.pilot(laboratory.work, 1.0)["units"]["labs"]["spellings"] == 6


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        ("hemolysed", "value_as_number", "no number"),
        ("5.4 mmol/L", "value_as_number", "two units"),
        ("5.4 mmol/L", "unit_concept_id", "two units"),
        ("7", "unit_concept_id", "unknown unit"),
        (None, "value_as_number", "no value"),
        (None, "unit_concept_id", "no unit"),
        ("8,3", "value_as_number", "other decimal sign"),
        ("3-5", "value_as_number", "a range"),
        ("90", "value_as_number", ""),
    ],
)
def test_a_row_says_why_its_result_is_no_number(written: Clinic, value: str | None, field: str, reason: str) -> None:
    number = dict(written.rows("measurement", "value_source_value, measurement_id"))[value]
    document = explain(written.places, written.warehouse, f"measurement.{field}", None, row=number, audit=written.audit)
    assert document["places"][0]["reason"] == reason
    said = words(document)[2]
    assert (said.startswith("In this row it is ") and said[-1] == ".") == bool(reason)
    assert EMPTY_OR_ZERO.get(reason, "") in said and not (value and value in said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("90", "Its number was converted from mg/dL to mmol/L (glucose"),
        ("<18", "Its number was converted from mg/dL to mmol/L (glucose"),
        ("7", "Its number was not converted to mmol/L: unknown unit. It stands in its own unit."),
        ("5.1", "That file had the SHA-256"),
        ("13.5", "That file had the SHA-256"),
    ],
)
def test_a_row_says_from_which_unit_it_was_converted(written: Clinic, value: str, said: str) -> None:
    number = dict(written.rows("measurement", "value_source_value, measurement_id"))[value]
    told = words(
        explain(written.places, written.warehouse, "measurement.value_as_number", None, row=number, audit=written.audit)
    )
    assert any(each.startswith(said) for each in told[1:]) and "furlong" not in str(told)
    assert ("converted from" in str(told[:3])) == said.startswith("Its number was converted")

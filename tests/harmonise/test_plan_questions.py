"""What a pilot refuses or asks of a plan: concepts that nobody knows, values that a list does not name."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harmonise.clinic import CONCEPTS, FILES, MAPS, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.commands_run import tell
from sojourn.node.harmonise.explaining import explain
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.signing import sign
from sojourn.omop.plan import Plan

SEXES = [
    (8507, "MALE", "Gender", "Gender", "Gender", "S", "M"),
    (8532, "FEMALE", "Gender", "Gender", "Gender", "S", "F"),
    (8527, "White", "Race", "Race", "Race", "S", "5"),
    (8551, "UNKNOWN", "Gender", "Gender", "Gender", "", "U"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"), concepts=[*CONCEPTS, *SEXES], maps=MAPS)


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse)
    made.write()
    return made


def test_a_concept_that_the_vocabulary_has_not_is_refused(clinic: Clinic) -> None:
    clinic.plan = clinic.plan.replace("M: 8507", "M: 99999999")
    with pytest.raises(HarmonisationError, match=r"no concept 99999999 .rule `person`, `gender_concept_id`") as refused:
        running.pilot(clinic.work, 1.0)
    assert "load a download" in refused.value.remedy


def test_a_domain_that_the_vocabulary_lacks_is_a_question(clinic: Clinic) -> None:
    doubts = running.pilot(clinic.work, 1.0)["doubts"]
    (said,) = [each for each in doubts if "cannot tell" in each]
    assert "9201 (rule `stays`, `visit_concept_id`)" in said and "32817 (rule `death`" in said and "8507" not in said


@pytest.mark.parametrize(
    ("concept", "said"), [("8527", "of domain Race; the column wants Gender"), ("8551", "not a standard concept")]
)
def test_a_concept_of_another_domain_or_not_standard_is_a_question(clinic: Clinic, concept: str, said: str) -> None:
    clinic.plan = clinic.plan.replace("M: 8507", f"M: {concept}")
    assert any(said in each and concept in each for each in running.pilot(clinic.work, 1.0)["doubts"])


def test_values_that_a_list_does_not_name_are_counted(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    from sojourn.node.harmonise.commands_run import _public

    clinic.write({**FILES, "patients": FILES["patients"] + "4,Weiblich,01/01/1950,\n5,Weiblich,01/01/1950,\n"})
    report = running.pilot(clinic.work, 1.0)
    (found,) = report["unlisted"]
    assert (found["rule"], found["field"], found["becomes"], found["rows"]) == ("person", "gender_concept_id", 0, 2)
    assert found["listed"] == [{"value": "Weiblich", "rows": 2}]
    tell(_public(report))
    said = capsys.readouterr().out
    assert "does not name" in said and "Weiblich" not in said
    assert "Weiblich" in next((clinic.places.folder / "pilots").glob("*/report.html")).read_text()


def test_too_many_rows_kept_aside_are_told_by_pilot_and_signature(clinic: Clinic) -> None:
    clinic.plan = clinic.plan.replace("quarantine_at_most: 1", "quarantine_at_most: 0.01")
    clinic.write({"stays": "mrn,stay,kind,from,until\n1,a,kitchen,01/02/2019,09/02/2019\n"})
    running.pilot(clinic.work, 1.0)
    assert "The run would stop" in next((clinic.places.folder / "pilots").glob("*/report.html")).read_text()
    plan = Plan.from_yaml(clinic.plan)
    with pytest.raises(HarmonisationError, match="The run would stop"):
        sign(clinic.places.pilot(plan.digest()), plan, "Ada Example", date(2026, 2, 2))


def test_after_an_edit_it_is_said_who_signed_another_version(clinic: Clinic) -> None:
    clinic.signed()
    clinic.plan = clinic.plan.replace("Discharge diagnoses.", "All diagnoses.")
    with pytest.raises(HarmonisationError, match=r"Ada Example signed another version .* on 2026-02-02"):
        clinic.run()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("where: died IS NOT NULL", "where: sum(died)"), "Rule `death`, `where`: an expression uses SUM"),
        (("birth_datetime: {date: born, form: day}", 'month_of_birth: {expression: "a ("}'), "`person`, `month_of"),
    ],
)
def test_an_expression_at_fault_is_named_with_its_place(clinic: Clinic, change: tuple[str, str], said: str) -> None:
    clinic.plan = clinic.plan.replace(*change)
    with pytest.raises(HarmonisationError, match=said):
        running.pilot(clinic.work, 1.0)


def test_an_unknown_field_or_source_is_repeated_with_what_is_near(clinic: Clinic) -> None:
    clinic.made()
    for place, near in (("person.gender", "gender_concept_id"), ("persn.gender_concept_id", "person")):
        with pytest.raises(HarmonisationError, match=place) as refused:
            explain(clinic.places, clinic.warehouse, place, None)
        assert near in refused.value.remedy
    with pytest.raises(HarmonisationError, match="`clinik`") as refused:
        explain(Places(clinic.home, "clinik"), clinic.warehouse, "person.person_id", None)
    assert "`clinic`" in refused.value.remedy


def test_an_amount_of_memory_and_a_missing_file_are_named(clinic: Clinic) -> None:
    with pytest.raises(HarmonisationError, match="--memory 1x"):
        running.pilot(running.Work(clinic.home, clinic.warehouse, clinic.plan, clinic.export, "1x"), 1.0)
    (clinic.export / "stays.csv").unlink()
    with pytest.raises(HarmonisationError, match=r"stays\.csv"):
        running.pilot(clinic.work, 1.0)


def test_a_unit_to_convert_to_must_be_one() -> None:
    from sojourn.omop.plan import Result

    with pytest.raises(ValueError, match="`mmol/Liter!`, which is no unit"):
        Result(value="v", decimal=".", units={"2345-7": "mmol/Liter!"})

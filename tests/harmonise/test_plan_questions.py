"""What a pilot refuses or asks of a plan: concepts that nobody knows, values that a list does not name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonise.clinic import CONCEPTS, FILES, MAPS, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.commands_run import tell

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

"""Of any concept: by which codes, names and decisions rows have it, all of them; of 0, why; one that is nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonise import pharmacy
from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from harmonise.pharmacy import CODEINE, MORPHINE, PARACETAMOL
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.explaining import explain, words

DECIDED = """decisions:
  - {vocabulary: ICD10CM, code: K029, concepts: [1], by: Dr Rossi, day: 2026-01-05, why: "The dot is missing."}
  - {vocabulary: ICD10CM, code: Q99, concepts: [16], by: Dr Rossi, day: 2026-01-05}
  - {vocabulary: SNOMED, code: S82.0, concepts: [3], by: Dr Rossi, day: 2026-01-05}
observation_period"""
CODES = ("S82.0", "K029", "K029", "TWO", "HEN", "Q99", "", "XYZZY", "XYZZZ")
FIELD = "condition_occurrence.condition_concept_id"
DRUGS = """
  drugs:
    file: drugs
    to: drug_exposure
    decided: {by: Ada Example, day: 2026-02-01}
    medicine: {name: drug}
    fields: {start: {date: day, form: day}, drug_exposure_end_date: {date: day, form: day}, type: 32838}
decisions:
  - {vocabulary: medicine, code: ASS 100, concepts: [101], by: Dr Rossi, day: 2026-02-01, why: "Our own."}
observation_period"""
NAMES = {"paracetamol": 11, "Tylenol": 10, "ASS 100": 10, "PARACETAMOL ": 9, "codeine": 3, "Nobody knows": 2}


def asked(clinic: Clinic, concept: int, field: str = FIELD) -> dict[str, object]:
    document = explain(clinic.places, clinic.warehouse, field, concept)
    return {**document["concept"], "said": words(document)}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("done")
    clinic = Clinic(folder, vocabulary(folder), PLAN.replace("observation_period", DECIDED, 1))
    codes = "".join(f"1,a,{code},02/02/2019\n" for code in CODES)
    clinic.write({**FILES, "diagnoses": f"mrn,stay,code,day\n{codes}"})
    clinic.made()
    return clinic


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    plan = PLAN.replace("rules:\n", "  drugs: {path: drugs.csv, person: mrn}\nrules:\n", 1)
    warehouse = pharmacy.vocabulary(tmp_path_factory.mktemp("vocabulary"))
    clinic = Clinic(tmp_path_factory.mktemp("ward"), warehouse, plan.replace("\nobservation_period", DRUGS, 1))
    clinic.write()
    lines = "".join(f"1,{name},01/02/2019\n" * rows for name, rows in NAMES.items())
    clinic.write({"drugs": f"mrn,drug,day\n{lines}"})
    clinic.made()
    return clinic


def test_rows_of_a_decision_are_told_beside_those_of_maps(done: Clinic) -> None:
    found = asked(done, 1)
    told = {each["code"]: (each["rows"], each["decision"] is not None) for each in found["codes"]}  # type: ignore[attr-defined]
    assert told == {"K029": (2, True), "S82.0": (1, False), "TWO": (1, False)} and found["rows"] == 4
    assert (
        "  ICD10CM K029 becomes it by a decision of Dr Rossi on 2026-01-05: 2 rows. Why: The dot is missing."
        in found["said"]  # type: ignore[operator]
    )


def test_the_rule_says_that_decisions_come_first(done: Clinic) -> None:
    said = words(explain(done.places, done.warehouse, FIELD, None))
    assert "the concepts that the plan's decisions name for 2 codes, for others the standard concept" in said[1]


@pytest.mark.parametrize("table", ["condition_occurrence.condition_concept_id", "drug_exposure.drug_concept_id"])
def test_of_every_concept_all_rows_are_told(done: Clinic, ward: Clinic, table: str) -> None:
    clinic = done if table.startswith("condition") else ward
    name, _, column = table.partition(".")
    concepts = [row[0] for row in clinic.rows(name, f"DISTINCT {column}")]
    assert len(concepts) > 2
    for concept in concepts:
        found = asked(clinic, concept, table)
        told = found["reasons"] if concept == 0 else found["codes"]
        assert sum(each["rows"] for each in told) + found["unlisted_rows"] == found["rows"] > 0  # type: ignore[operator,attr-defined]


def test_names_of_medicines_are_told_from_ten_rows_on(ward: Clinic) -> None:
    found = asked(ward, PARACETAMOL, "drug_exposure.drug_concept_id")
    assert found["rows"] == 40 and found["unlisted_rows"] == 9
    said = str(found["said"])
    assert "The name `paracetamol` is read as it: 11 rows." in said
    assert "The name `ASS 100` becomes it by a decision of Dr Rossi on 2026-02-01: 10 rows. Why: Our own." in said
    assert "PARACETAMOL" not in said and "fewer than 10 rows have" in said and "no column keeps: 9 rows." in said
    rare = asked(ward, CODEINE, "drug_exposure.drug_concept_id")
    assert rare["codes"] == [] and "`codeine`" not in str(rare["said"])


def test_0_is_no_concept_and_says_why(done: Clinic) -> None:
    found = asked(done, 0)
    assert {each["reason"]: each["rows"] for each in found["reasons"]} == {  # type: ignore[attr-defined]
        "bad decision": 1, "circular map": 1, "no code": 1, "unknown code": 2,
    }  # fmt: skip
    assert "0 stands for no concept: 5 rows." in found["said"]  # type: ignore[operator]
    assert "  The vocabulary has no such code: 2 rows." in found["said"]  # type: ignore[operator]
    assert "XYZZY" not in str(found["said"])
    kept = asked(done, 0, "condition_occurrence.condition_status_concept_id")
    assert kept["rows"] == 0 and kept["reasons"] == []


def test_a_concept_that_is_nowhere_is_an_error_and_one_that_only_rows_have_is_told(done: Clinic) -> None:
    with pytest.raises(HarmonisationError, match=r"Vocabulary .* has no concept 99, and no row has it") as refused:
        asked(done, 99)
    assert "id" in refused.value.remedy
    found = asked(done, 32817, "condition_occurrence.condition_type_concept_id")
    assert f"Concept 32817 is not in the vocabulary that is in use: {found['rows']} rows." in found["said"]  # type: ignore[operator]
    assert asked(done, 4)["rows"] == 0


def test_a_pilot_says_what_the_vocabulary_lacks_for_drugs(ward: Clinic, tmp_path: Path) -> None:
    assert not [each for each in running.pilot(ward.work, 1.0)["doubts"] if "The vocabulary has no" in each]
    without = ward.plan[: ward.plan.index("decisions:")] + ward.plan[ward.plan.index("observation_period") :]
    bare = Clinic(tmp_path, vocabulary(tmp_path), without)
    bare.write()
    bare.write({"drugs": "mrn,drug,day\n1,paracetamol,01/02/2019\n"})
    doubts = [each for each in running.pilot(bare.work, 1.0)["doubts"] if "The vocabulary has no" in each]
    assert len(doubts) == 2 and "DRUG_STRENGTH" in doubts[0] and "RxNorm has dose form" in doubts[1]
    assert MORPHINE not in [row[0] for row in ward.rows("drug_exposure", "drug_concept_id")]

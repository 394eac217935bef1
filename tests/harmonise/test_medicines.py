"""Medicines that a file names by their names alone: what each becomes, and what stays 0 with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harmonise import pharmacy
from harmonise.clinic import PLAN, Clinic
from harmonise.pharmacy import (
    CODEINE,
    CODEINE_30,
    IBUPROFEN,
    MORPHINE,
    MORPHINE_10,
    P325,
    P500,
    P500_CHEWABLE,
    P_C,
    PARACETAMOL,
    SALBUTAMOL_100,
)
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import medicines, running
from sojourn.omop.medicines import AMBIGUOUS, NO_NAME, UNKNOWN, UNREAD
from sojourn.omop.plan import Plan

RULE = """
  drugs:
    file: drugs
    to: drug_exposure
    decided: {by: Ada Example, day: 2026-02-01}
    medicine: {name: drug, strength: strength, form: form}
    fields: {start: {date: day, form: day}, drug_exposure_end_date: {date: day, form: day}, type: 32838}
decisions:
  - {vocabulary: medicine, code: Codeine, concepts: [128], by: Dr Rossi, day: 2026-02-01}
  - {vocabulary: medicine, code: Hustensaft, concepts: [102, 103], by: Dr Rossi, day: 2026-02-01, why: Our own mixture.}
  - {vocabulary: medicine, code: Placebo 1 mg, concepts: [110], by: Dr Rossi, day: 2026-02-01}
observation_period"""
# name, strength, form → concepts, reason
EXPECTED: dict[tuple[str, str, str], tuple[list[int], str | None]] = {
    ("Tylenol 500 mg tablet", "", ""): ([P500], None),
    ("paracétamol", "", ""): ([PARACETAMOL], None),
    ("paracetamol", "0,5 g", "Tabletten"): ([P500], None),
    ("Hausmarke", "325 mg", "tab"): ([P325], None),
    ("acetaminophen", "500 mg", "chewable tablet"): ([P500_CHEWABLE], None),
    ("ACETAMINOPHEN 325 MG Oral Tablet", "", ""): ([P325], None),
    ("paracetamol", "650 mg", "tablet"): ([PARACETAMOL], None),  # nobody makes it here
    ("paracetamol", "500", "tablet"): ([PARACETAMOL], None),  # 500 of what
    ("paracetamol", "500 mg", ""): ([PARACETAMOL], None),  # two have that strength
    ("paracetamol", "500 mg", "capsule"): ([PARACETAMOL], None),  # that one is no standard concept
    ("paracetamol/codeine 500-30 mg tab", "", ""): ([P_C], None),
    ("codeine and paracetamol", "", ""): ([PARACETAMOL, CODEINE], None),
    ("Morphine 10 mg/5 mL oral solution", "", ""): ([MORPHINE_10], None),
    ("Salbutamol", "100 mcg/puff", "inhaler"): ([SALBUTAMOL_100], None),
    ("Morphine 2 mg oral solution", "", ""): ([MORPHINE], None),  # 2 mg of it all, not in each mL
    ("Paracetamol 500 mg/Morphine 30 mg tablet", "", ""): ([PARACETAMOL, MORPHINE], None),
    ("Codeine", "", ""): ([CODEINE_30], None),  # so decided, though the vocabulary has that very name
    ("Ibuprofen 400 mg tab", "", ""): ([IBUPROFEN], None),  # two fit
    ("Hustensaft", "", ""): ([CODEINE, MORPHINE], None),
    ("Placebo", "1 mg", ""): ([0], "bad decision"),
    ("Mischung", "", ""): ([0], AMBIGUOUS),
    ("Tylenol PM 500 mg tablet", "", ""): ([0], UNREAD),
    ("paracetamol and unicorn", "", ""): ([0], UNKNOWN),
    ("paracetamo", "", ""): ([0], UNKNOWN),
    ("Aspirin", "", ""): ([0], UNKNOWN),  # the short dictionary knows it, this vocabulary does not
    ("", "500 mg", "tablet"): ([0], NO_NAME),
}


def planned() -> str:
    plan = PLAN.replace("rules:\n", "  drugs: {path: drugs.csv, person: mrn}\nrules:\n", 1)
    return plan.replace("\nobservation_period", RULE, 1)


def exported(rows: list[tuple[str, ...]]) -> str:
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in ("1", *row, "01/02/2019")) for row in rows]
    return "mrn,drug,strength,form,day\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pharmacy.vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, warehouse: Path) -> Clinic:
    clinic = Clinic(tmp_path_factory.mktemp("ward"), warehouse, planned())
    clinic.write()
    clinic.write({"drugs": exported([*EXPECTED, *[("paracetamo", "", "")] * 11, *[("paracétamol", "", "")] * 2])})
    clinic.made()
    return clinic


@pytest.mark.parametrize(("written", "meant"), EXPECTED.items(), ids=lambda given: str(given)[:40])
def test_a_name_becomes_a_drug_or_its_ingredients_or_0_with_a_reason(
    ward: Clinic, written: tuple[str, str, str], meant: tuple[list[int], str | None]
) -> None:
    text = " ".join(each for each in written if each)
    rows = ward.rows("drug_exposure", "DISTINCT drug_source_value, drug_concept_id, drug_source_concept_id")
    assert [row[1:] for row in rows if row[0] == text] == [(concept, 0) for concept in sorted(meant[0])]
    reasons = {row[1] for row in ward.rows("unmapped", "code, reason") if row[0] == text}
    assert reasons == ({meant[1]} if meant[1] else set())


def test_every_row_is_there_and_says_what_stood_there(ward: Clinic) -> None:
    assert len(ward.rows("drug_exposure")) == len(EXPECTED) + 13 + 3  # three names are of two substances
    assert ward.rows("quarantine") == []
    assert len({number for (number,) in ward.rows("drug_exposure", "drug_exposure_id")}) == len(EXPECTED) + 16


def test_a_pilot_counts_names_and_shows_no_rare_one(ward: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    from sojourn.node.harmonise.commands_run import _public, tell

    report = running.pilot(ward.work, 1.0)
    (found,) = [report["medicines"]["drugs"]]
    listed = found.pop("listed")
    unknown = sum(1 for _, reason in EXPECTED.values() if reason)
    assert found == {"names": len(EXPECTED), "rows": len(EXPECTED) + 13, "drug_names": 8, "drug_rows": 8,
                     "ingredient_names": 9, "ingredient_rows": 11, "decision_names": 2, "decision_rows": 2,
                     "unknown_names": unknown, "unknown_rows": unknown + 11, "rare_names": 9 + unknown - 1}  # fmt: skip
    assert listed == [{"name": "paracetamo", "became": UNKNOWN, "rows": 12}]
    assert [each["code"] for each in report["unmapped"]["drugs"]["listed"]] == ["paracetamo"]
    other, doubt = sorted((each for each in report["doubts"] if "medicine" in each), key=len)
    assert "Concept 110 (decision 3, medicine) is not a standard concept" in other
    assert f"{unknown} names of medicines of rule `drugs` met nothing" in doubt and "`decision`" in doubt
    page = next((ward.places.folder / "pilots").glob("*/report.html")).read_text()
    assert "paracetamo<" in page and "unicorn" not in page and "Mischung" not in page
    tell(_public(report))
    said = capsys.readouterr().out
    assert "ingredient" in said and "paracetamo" not in said


def test_a_rule_of_medicines_is_strict() -> None:
    for change, said in (
        (("to: drug_exposure", "to: observation"), "to: drug_exposure"),
        (("    medicine:", "    concept: {code: drug, vocabulary: RxNorm}\n    medicine:"), "without `concept`"),
        (("{name: drug, ", "{"), "medicine.name"),
    ):
        with pytest.raises(HarmonisationError, match=said):
            Plan.from_yaml(planned().replace(*change))


def test_plans_without_a_medicine_keep_their_version() -> None:
    """The version is what people signed: a new word of the software is no change of theirs."""
    assert Plan.from_yaml(PLAN).digest() == "baac14078313c8b22795ee939fe541c0a5bc10aeb18b3d69d19e10eb3d31b809"
    assert Plan.from_yaml(planned()).digest() != Plan.from_yaml(planned().replace(", form: form}", "}")).digest()


def test_too_many_names_are_refused(ward: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medicines, "MOST_NAMES", len(EXPECTED) - 1)
    ward.write({"drugs": exported([*EXPECTED, ("paracetamol", "1 g", "tab")])})
    with pytest.raises(HarmonisationError, match=r"Rule `drugs` has 27 distinct names of medicines; 25 are the most"):
        running.pilot(ward.work, 1.0)


def test_names_met_a_few_at_a_time_become_the_same(
    ward: Clinic, tmp_path: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medicines, "_AT_ONCE", 3)
    few = Clinic(tmp_path, warehouse, planned())
    few.write()
    few.write({"drugs": exported([*EXPECTED])})
    few.made()
    columns = "DISTINCT drug_source_value, drug_concept_id"
    assert few.rows("drug_exposure", columns) == ward.rows("drug_exposure", columns)
    assert few.rows("unmapped", "code, reason") == ward.rows("unmapped", "code, reason")


def test_a_vocabulary_without_medicines_says_so(tmp_path: Path) -> None:
    from harmonise.clinic import vocabulary

    plan = re.sub(r"decisions:\n(  - .*\n)+", "", planned())  # their concepts are not in it: the pilot would refuse
    clinic = Clinic(tmp_path, vocabulary(tmp_path), plan)
    clinic.write()
    clinic.write({"drugs": exported([("paracetamol", "", "")])})
    clinic.made()
    assert clinic.rows("unmapped", "code, reason")[-1] == ("paracetamol", "unknown vocabulary")


def test_the_sql_of_names_can_be_read() -> None:
    from sojourn.omop.compilation import compile_plan

    said = compile_plan(Plan.from_yaml(planned())).text()
    assert "names_drugs" in said and "drug_strength" in said

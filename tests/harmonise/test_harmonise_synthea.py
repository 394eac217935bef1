"""From the raw export of 109 synthetic patients to tables of the model, beside those of the OHDSI tutorial."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import pytest

from harmonise.clinic import Clinic
from harmonise.synthea import DATA, synthea
from sojourn.node.harmonise.explaining import explain, words
from sojourn.node.harmonise.publishing import manifest_of


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    clinic = synthea(tmp_path_factory.mktemp("synthea"))
    clinic.made()
    return clinic


def reference(table: str, columns: str) -> Counter[tuple[Any, ...]]:
    """Rows of a reference table, counted; dates there are of two forms."""
    with duckdb.connect() as connection:
        path = DATA / "reference" / f"{table}.csv.gz"
        return Counter(connection.execute(f"SELECT {columns} FROM read_csv('{path}', dateformat='%Y%m%d')").fetchall())


def test_persons_are_those_of_the_reference(hospital: Clinic) -> None:
    columns = "gender_concept_id, year_of_birth, month_of_birth, day_of_birth, race_concept_id, ethnicity_concept_id"
    assert Counter(hospital.rows("person", columns)) == reference("person", columns)


def test_observation_periods_are_those_of_the_reference(hospital: Clinic) -> None:
    columns = "observation_period_start_date, observation_period_end_date, period_type_concept_id"
    assert Counter(hospital.rows("observation_period", columns)) == reference("observation_period", columns)


def test_conditions_are_those_of_the_reference_and_84_whose_code_its_vocabulary_lacks(hospital: Clinic) -> None:
    columns = "condition_concept_id, condition_start_date, condition_end_date"
    ours = Counter(hospital.rows("condition_occurrence", columns))
    without = Counter({row: count for row, count in ours.items() if row[0] == 0})
    assert ours - without == reference("condition_occurrence", columns)
    assert without.total() == 84
    assert len(hospital.rows("observation")) == 3595  # the other "conditions", by the vocabulary's domain


def test_drugs_are_those_of_the_reference_but_two_that_end_before_they_start(hospital: Clinic) -> None:
    columns = "drug_concept_id, drug_exposure_start_date"
    ours = Counter(hospital.rows("drug_exposure", columns))
    without = Counter({row: count for row, count in ours.items() if row[0] == 0})
    missing = reference("drug_exposure", columns) - (ours - without)
    assert not (ours - without) - reference("drug_exposure", columns)
    assert sorted(row[0] for row in missing.elements()) == [19080128] * 2
    aside = hospital.rows("quarantine", "file, reason")
    assert aside == [("medications", "end before start")] * 2
    assert without.total() == 257  # vaccines that its vocabulary lacks, which the tutorial drops


def test_visits_are_all_encounters_of_which_the_reference_merges_and_drops_some(hospital: Clinic) -> None:
    ours = Counter(number for (number,) in hospital.rows("visit_occurrence", "visit_concept_id"))
    theirs = Counter({row[0]: count for row, count in reference("visit_occurrence", "visit_concept_id").items()})
    assert theirs == {9201: 108, 9202: 9467, 9203: 348}
    # urgent care, nursing, hospice, home and video, which it drops
    assert ours == {9201: 111, 9202: 9824, 9203: 348, 8782: 369, 42898160: 36, 8546: 10, 581476: 5, 5083: 12}
    with duckdb.connect() as connection:  # each of its visits is one of ours, with the same concept
        merged = connection.execute(
            "SELECT CASE ENCOUNTERCLASS WHEN 'inpatient' THEN 9201 WHEN 'emergency' THEN 9203 ELSE 9202 END, count(*) "
            f"FROM read_csv('{DATA}/reference/visit_occurrence.csv.gz') AS v "
            f"JOIN read_csv('{DATA}/source/encounters.csv.gz') AS e ON e.Id = v.visit_source_value GROUP BY 1"
        ).fetchall()
    assert dict(merged) == theirs


def test_every_row_of_the_export_is_accounted_for(hospital: Clinic) -> None:
    report = manifest_of(hospital.places)
    rows = {name: file["records"] for name, file in report["files"].items()}
    assert rows == {
        "patients": 109,
        "encounters": 10715,
        "conditions": 5901,
        "medications": 6874,
        "immunizations": 2890,
    }
    assert all(file["unreadable"] == 0 for file in report["files"].values())
    tables = {name: table["rows"] for name, table in report["tables"].items()}
    assert tables["condition_occurrence"] + tables["observation"] == rows["conditions"]
    twice = 6  # medications whose code has two concepts
    assert tables["drug_exposure"] + 2 == rows["medications"] + twice + rows["immunizations"]
    assert tables["death"] + report["left_out"]["death"] == rows["patients"]


def test_three_fields_explained(hospital: Clinic) -> None:
    race, condition, visit = (
        words(explain(hospital.places, hospital.warehouse, field, concept))
        for field, concept in (
            ("person.race_concept_id", None),
            ("condition_occurrence.condition_concept_id", 4112343),
            ("visit_occurrence.visit_start_datetime", None),
        )
    )
    assert "white becomes 8527, black becomes 8516, asian becomes 8515; any other 0" in race[1]
    assert "109 rows, of which 8 are 0: no concept." in race[1]
    assert condition[2] == "Concept 4112343 is Acute viral pharyngitis (SNOMED, domain Condition): 108 rows."
    assert condition[3].strip() == "SNOMED 195662009 (Acute viral pharyngitis) is this concept: 108 rows."
    assert "by the clock of UTC" in visit[1] and "10,715 rows." in visit[1]

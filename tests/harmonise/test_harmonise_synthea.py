"""From the raw export of 109 synthetic patients to tables of the model, beside those of the OHDSI tutorial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from harmonise.clinic import Clinic
from harmonise.synthea import DATA, synthea
from sojourn.node.harmonise.explaining import explain, words
from sojourn.node.harmonise.publishing import history, manifest_of
from sojourn.omop.identifiers import keyed_id

CODES = DATA / "vocabulary" / "source_to_standard_vocab_map.csv.gz"
PEOPLE = DATA / "reference" / "person.csv.gz"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    clinic = synthea(tmp_path_factory.mktemp("synthea"))
    clinic.made()
    return clinic


@pytest.fixture(scope="module")
def both(hospital: Clinic) -> Iterator[duckdb.DuckDBPyConnection]:
    """Our tables as `our.TABLE`, the reference's as `their.TABLE`, both with `who`: a person's name in the export."""
    key = (hospital.home / "harmonised" / "pseudonym.key").read_bytes()
    snapshot = hospital.places.snapshots / history(hospital.places).current
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE SCHEMA our; CREATE SCHEMA their; CREATE TABLE numbers (person_id BIGINT, who VARCHAR)"
        )
        patients = connection.execute(f"SELECT CAST(Id AS VARCHAR) FROM read_csv('{DATA}/source/patients.csv.gz')")
        numbers = [[keyed_id(key, f"synthea|person|{who}"), who] for (who,) in patients.fetchall()]
        connection.executemany("INSERT INTO numbers VALUES (?, ?)", numbers)
        people = f"SELECT person_id, CAST(person_source_value AS VARCHAR) AS who FROM read_csv('{PEOPLE}')"
        for table in ("person", "observation_period", "condition_occurrence", "drug_exposure", "visit_occurrence"):
            ours, theirs = f"{snapshot}/{table}/*.parquet", f"{DATA}/reference/{table}.csv.gz"
            connection.execute(f"CREATE VIEW our.{table} AS FROM read_parquet('{ours}') JOIN numbers USING (person_id)")
            read = f"read_csv('{theirs}', dateformat='%Y%m%d')"  # dates there are of two forms
            connection.execute(f"CREATE VIEW their.{table} AS FROM {read} JOIN ({people}) USING (person_id)")
        yield connection


def counted(both: duckdb.DuckDBPyConnection, table: str, columns: str) -> tuple[Counter[Any], Counter[Any]]:
    """Rows of a table by those columns, counted: ours and the reference's."""
    ours, theirs = (
        Counter(both.execute(f"SELECT {columns} FROM {whose}.{table}").fetchall()) for whose in ("our", "their")
    )
    return ours, theirs


def test_persons_are_those_of_the_reference(both: duckdb.DuckDBPyConnection) -> None:
    columns = "who, gender_concept_id, year_of_birth, month_of_birth, day_of_birth, race_concept_id"
    ours, theirs = counted(both, "person", f"{columns}, ethnicity_concept_id")
    assert ours == theirs and ours.total() == 109


def test_observation_periods_are_those_of_the_reference(both: duckdb.DuckDBPyConnection) -> None:
    columns = "who, observation_period_start_date, observation_period_end_date, period_type_concept_id"
    ours, theirs = counted(both, "observation_period", columns)
    assert ours == theirs and ours.total() == 109


def test_conditions_are_those_of_the_reference_and_84_whose_code_its_vocabulary_lacks(
    hospital: Clinic, both: duckdb.DuckDBPyConnection
) -> None:
    codes = "CAST(condition_source_value AS VARCHAR), condition_source_concept_id"
    ours, theirs = counted(
        both, "condition_occurrence", f"condition_concept_id, who, condition_start_date, condition_end_date, {codes}"
    )
    without = unmapped(ours)
    assert ours - without == theirs
    assert without.total() == 84 == missing_codes(hospital, "conditions")
    assert len(hospital.rows("observation")) == 3595  # the other "conditions", by the vocabulary's domain


def test_drugs_are_those_of_the_reference_but_two_that_end_before_they_start(
    hospital: Clinic, both: duckdb.DuckDBPyConnection
) -> None:
    codes = "CAST(drug_source_value AS VARCHAR), drug_source_concept_id"
    ours, theirs = counted(
        both, "drug_exposure", f"drug_concept_id, who, drug_exposure_start_date, drug_exposure_end_date, {codes}"
    )
    without = unmapped(ours)
    assert not (ours - without) - theirs
    missing = list((theirs - (ours - without)).elements())
    assert [row[0] for row in missing] == [19080128] * 2 and all(end < start for _, _, start, end, *_ in missing)
    assert hospital.rows("quarantine", "file, reason") == [("medications", "end before start")] * 2
    assert without.total() == 257 == missing_codes(hospital, "immunizations")  # vaccines, which the tutorial drops


@pytest.mark.parametrize(
    ("table", "column", "concepts", "differ"),
    [
        ("person", "gender_concept_id", 2, {}),
        ("person", "race_concept_id", 4, {}),
        ("person", "ethnicity_concept_id", 2, {}),
        ("condition_occurrence", "condition_concept_id", 181, {0: 84}),
        ("condition_occurrence", "condition_source_concept_id", 188, {0: 84}),
        ("drug_exposure", "drug_concept_id", 152, {0: 257, 19080128: -2}),
        ("drug_exposure", "drug_source_concept_id", 151, {0: 257, 19080128: -2}),
    ],
)
def test_distributions_of_concepts_are_those_of_the_reference(
    both: duckdb.DuckDBPyConnection, table: str, column: str, concepts: int, differ: dict[int, int]
) -> None:
    """Rows of each concept; differ: ours less theirs, where they do, for the reasons of the tests above."""
    ours, theirs = counted(both, table, column)
    assert len(theirs) == concepts
    assert {
        concept: ours[concept,] - theirs[concept,] for (concept,) in ours | theirs if ours[concept,] != theirs[concept,]
    } == differ


def unmapped(rows: Counter[Any]) -> Counter[Any]:
    """Those whose first column, the concept, is 0."""
    return Counter({row: count for row, count in rows.items() if row[0] == 0})


def missing_codes(hospital: Clinic, rule: str) -> int:
    """How many rows have a code that the tutorial's vocabulary does not hold, by its own file."""
    with duckdb.connect() as connection:
        known = connection.execute(
            f"SELECT source_vocabulary_id, source_code FROM read_csv('{CODES}', all_varchar=true)"
        ).fetchall()
    lacking = [each for each in hospital.rows("unmapped", "rule, vocabulary, code, rows, reason") if each[0] == rule]
    assert not {each[1:3] for each in lacking} & set(known) and {each[4] for each in lacking} == {"unknown code"}
    return sum(each[3] for each in lacking)


def test_visits_are_all_encounters_of_which_the_reference_merges_and_drops_some(
    both: duckdb.DuckDBPyConnection,
) -> None:
    ours, theirs = counted(both, "visit_occurrence", "visit_concept_id")
    assert theirs == {(9201,): 108, (9202,): 9467, (9203,): 348}
    # urgent care, nursing, hospice, home and video, which it drops
    dropped = {(8782,): 369, (42898160,): 36, (8546,): 10, (581476,): 5, (5083,): 12}
    assert ours == {(9201,): 111, (9202,): 9824, (9203,): 348, **dropped}
    ours, theirs = counted(both, "visit_occurrence", "visit_concept_id, who, visit_start_date, visit_end_date")
    emergencies = Counter({row: count for row, count in ours.items() if row[0] == 9203})
    assert emergencies == Counter({row: count for row, count in theirs.items() if row[0] == 9203})
    assert {row[0] for row in theirs - ours} == {9201} and (theirs - ours).total() == 7  # merged stays, which end later


def test_no_visit_of_ours_is_lost_by_the_reference_but_lies_in_one_of_its_own(both: duckdb.DuckDBPyConnection) -> None:
    kinds = "CASE ENCOUNTERCLASS WHEN 'inpatient' THEN 9201 WHEN 'emergency' THEN 9203 ELSE 9202 END"
    encounters = f"read_csv('{DATA}/source/encounters.csv.gz')"
    merged = both.execute(  # each of its visits is one of ours, with the same concept
        f"SELECT {kinds}, count(*) FROM their.visit_occurrence AS v "
        f"JOIN {encounters} AS e ON e.Id = v.visit_source_value AND {kinds} = v.visit_concept_id GROUP BY ALL"
    ).fetchall()
    assert dict(merged) == {9201: 108, 9202: 9467, 9203: 348}
    days = both.execute(  # outpatients of one class and day are one visit
        f"SELECT count(DISTINCT (PATIENT, ENCOUNTERCLASS, CAST(START AS DATE))) FROM {encounters} "
        "WHERE ENCOUNTERCLASS IN ('ambulatory', 'wellness', 'outpatient')"
    ).fetchall()
    assert days == [(9467 + 32,)]  # 32 begin on the days of another visit, which holds them
    outside = both.execute(
        "SELECT count(*) FROM our.visit_occurrence AS o WHERE visit_concept_id IN (9201, 9202, 9203) AND NOT EXISTS ("
        "SELECT 1 FROM their.visit_occurrence AS t WHERE t.who = o.who "
        "AND o.visit_start_date BETWEEN t.visit_start_date AND t.visit_end_date)"
    ).fetchall()
    assert outside == [(0,)]


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

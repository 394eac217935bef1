"""Codes are looked up in a vocabulary that is far larger than what the database may hold in memory."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from harmonise.clinic import PLAN
from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan

CONCEPTS = 1_500_000


@pytest.mark.long
def test_codes_are_found_in_a_vocabulary_larger_than_memory(tmp_path: Path) -> None:
    store = str(tmp_path / "warehouse.duckdb")
    with duckdb.connect(store) as to:
        to.execute("CREATE SCHEMA vocabulary")
        to.execute(
            "CREATE TABLE vocabulary.concept AS SELECT i AS concept_id, 'Condition' AS domain_id, "
            "CASE WHEN i % 2 = 0 THEN 'SNOMED' ELSE 'ICD10CM' END AS vocabulary_id, 'K' || i AS concept_code, "
            "CASE WHEN i % 2 = 0 THEN 'S' END AS standard_concept, NULL::VARCHAR AS invalid_reason "
            f"FROM range({CONCEPTS}) AS t(i)"
        )
        to.execute(
            "CREATE TABLE vocabulary.concept_relationship AS SELECT i AS concept_id_1, i - i % 2 AS concept_id_2, "
            f"'Maps to' AS relationship_id, NULL::VARCHAR AS invalid_reason FROM range({CONCEPTS}) AS t(i)"
        )
        to.execute("CREATE TABLE vocabulary.vocabulary AS SELECT 'ICD10CM' AS vocabulary_id")
    sql = compile_plan(Plan.from_yaml(PLAN)).codes["codes_diagnoses"][1]
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "48MB", "threads": "2"}
    with duckdb.connect(config=config) as to:
        to.execute(f"SET temp_directory = '{tmp_path / 'spill'}'; SET preserve_insertion_order = false")
        to.execute(f"ATTACH '{store}' AS site (READ_ONLY); CREATE SCHEMA vocabulary")
        for table in ("concept", "concept_relationship", "vocabulary"):
            to.execute(f"CREATE VIEW vocabulary.{table} AS SELECT * FROM site.vocabulary.{table}")
        to.execute("CREATE VIEW stage_diagnoses AS SELECT 'K' || (i * 2 + 1) AS code FROM range(20000) AS t(i)")
        found = to.execute(f"SELECT count(*), count(unmapped), min(source_concept_id - concept_id) FROM ({sql})")
        assert found.fetchone() == (20000, 0, 1)

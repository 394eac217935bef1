"""A small public vocabulary, from a table of "Maps to" pairs, in the same tables as a whole download.

For demonstrations and tests. It has no ancestors, synonyms or strengths, and only the concepts that the pairs name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import DatasetError

if TYPE_CHECKING:
    import duckdb

_REMEDY = "Take both files of the OHDSI ETL tutorial as they are."
_EVER = "DATE '1970-01-01', DATE '2099-12-31'"
_READER = "read_csv($path, header=true, all_varchar=true, delim=',', quote='\"', escape='\"', nullstr='')"


def fill(to: duckdb.DuckDBPyConnection, schema: str, files: Mapping[str, Path]) -> None:
    """Fill the tables of one version. DatasetError where the files have other columns."""
    import duckdb

    try:
        for name, path in files.items():
            to.execute(f"CREATE OR REPLACE TEMP TABLE small_{name} AS SELECT * FROM {_READER}", {"path": str(path)})
        for statement in _statements(schema):
            to.execute(statement)
        for name in files:
            to.execute(f"DROP TABLE small_{name}")
    except (
        duckdb.InvalidInputException,
        duckdb.BinderException,
        duckdb.ConversionException,
        duckdb.ConstraintException,
    ):
        raise DatasetError("The small vocabulary has not the columns that are read.", remedy=_REMEDY) from None


def _statements(schema: str) -> list[str]:
    pairs = "small_source_to_standard_vocab_map"
    sources = (
        "SELECT CAST(source_concept_id AS INTEGER) AS id, source_code_description AS name, source_domain_id AS domain, "
        "source_vocabulary_id AS vocabulary, source_concept_class_id AS class, "
        "CASE WHEN source_concept_id = target_concept_id THEN target_standard_concept END AS standard, "
        "source_code AS code, strptime(source_valid_start_date, '%Y%m%d')::DATE AS first, "
        f"strptime(source_valid_end_date, '%Y%m%d')::DATE AS last, source_invalid_reason AS reason FROM {pairs}"
    )
    targets = (
        "SELECT CAST(target_concept_id AS INTEGER), target_concept_name, target_domain_id, target_vocabulary_id, "
        f"target_concept_class_id, target_standard_concept, '', {_EVER}, target_invalid_reason FROM {pairs}"
    )
    # Of a concept on both sides the source's row is kept: it has the code.
    concepts = (
        f"INSERT INTO {schema}.concept SELECT id, name, domain, vocabulary, class, standard, code, first, last, reason "
        f"FROM ({sources} UNION ALL {targets}) QUALIFY row_number() OVER (PARTITION BY id ORDER BY code = '', "
        "standard NULLS LAST, name) = 1"
    )
    maps = f"SELECT CAST(source_concept_id AS INTEGER) AS a, CAST(target_concept_id AS INTEGER) AS b FROM {pairs}"
    relationships = (
        f"INSERT INTO {schema}.concept_relationship SELECT DISTINCT a, b, 'Maps to', {_EVER}, NULL FROM ({maps}) "
        f"UNION ALL SELECT DISTINCT b, a, 'Mapped from', {_EVER}, NULL FROM ({maps})"
    )
    vocabularies = (
        f"INSERT INTO {schema}.vocabulary SELECT vocabulary_id, vocabulary_name, vocabulary_reference, "
        "vocabulary_version, CAST(vocabulary_concept_id AS INTEGER) FROM small_vocabulary"
    )
    domains = f"INSERT INTO {schema}.domain SELECT DISTINCT domain_id, domain_id, 0 FROM {schema}.concept"
    classes = (
        f"INSERT INTO {schema}.concept_class SELECT DISTINCT concept_class_id, concept_class_id, 0 "
        f"FROM {schema}.concept"
    )
    kinds = (
        f"INSERT INTO {schema}.relationship VALUES ('Maps to', 'Maps to', '0', '0', 'Mapped from', 0), "
        "('Mapped from', 'Mapped from', '0', '0', 'Maps to', 0)"
    )
    return [concepts, relationships, vocabularies, domains, classes, kinds]

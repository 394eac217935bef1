"""The vocabulary tables of OMOP CDM 5.4, and where the warehouse file keeps each loaded version of them.

Every version has a schema of its own, `vocabulary_1`, `vocabulary_2`, …; the schema `vocabulary` shows the one in use
through views of the CDM's names. `vocabulary_store.version` lists what was loaded.
"""

from __future__ import annotations

from types import MappingProxyType

VIEWS = "vocabulary"
STORE = "vocabulary_store"

_TABLES = {
    "concept": (
        "concept_id INTEGER NOT NULL, concept_name VARCHAR NOT NULL, domain_id VARCHAR NOT NULL, vocabulary_id VARCHAR "
        "NOT NULL, concept_class_id VARCHAR NOT NULL, standard_concept VARCHAR, concept_code VARCHAR NOT NULL, "
        "valid_start_date DATE NOT NULL, valid_end_date DATE NOT NULL, invalid_reason VARCHAR"
    ),
    "concept_relationship": (
        "concept_id_1 INTEGER NOT NULL, concept_id_2 INTEGER NOT NULL, relationship_id VARCHAR NOT NULL, "
        "valid_start_date DATE NOT NULL, valid_end_date DATE NOT NULL, invalid_reason VARCHAR"
    ),
    "concept_ancestor": (
        "ancestor_concept_id INTEGER NOT NULL, descendant_concept_id INTEGER NOT NULL, "
        "min_levels_of_separation INTEGER NOT NULL, max_levels_of_separation INTEGER NOT NULL"
    ),
    "concept_synonym": (
        "concept_id INTEGER NOT NULL, concept_synonym_name VARCHAR NOT NULL, language_concept_id INTEGER NOT NULL"
    ),
    "vocabulary": (
        "vocabulary_id VARCHAR NOT NULL, vocabulary_name VARCHAR NOT NULL, vocabulary_reference VARCHAR, "
        "vocabulary_version VARCHAR, vocabulary_concept_id INTEGER NOT NULL"
    ),
    "domain": "domain_id VARCHAR NOT NULL, domain_name VARCHAR NOT NULL, domain_concept_id INTEGER NOT NULL",
    "concept_class": (
        "concept_class_id VARCHAR NOT NULL, concept_class_name VARCHAR NOT NULL, "
        "concept_class_concept_id INTEGER NOT NULL"
    ),
    "relationship": (
        "relationship_id VARCHAR NOT NULL, relationship_name VARCHAR NOT NULL, is_hierarchical VARCHAR NOT NULL, "
        "defines_ancestry VARCHAR NOT NULL, reverse_relationship_id VARCHAR NOT NULL, "
        "relationship_concept_id INTEGER NOT NULL"
    ),
    "drug_strength": (
        "drug_concept_id INTEGER NOT NULL, ingredient_concept_id INTEGER NOT NULL, amount_value DOUBLE, "
        "amount_unit_concept_id INTEGER, numerator_value DOUBLE, numerator_unit_concept_id INTEGER, "
        "denominator_value DOUBLE, denominator_unit_concept_id INTEGER, box_size INTEGER, "
        "valid_start_date DATE NOT NULL, valid_end_date DATE NOT NULL, invalid_reason VARCHAR"
    ),
}
TABLES = MappingProxyType(_TABLES)  # table → its columns as SQL declares them

_VERSION = (
    "number INTEGER PRIMARY KEY, version VARCHAR NOT NULL, digest VARCHAR NOT NULL, loaded TIMESTAMP NOT NULL, "
    "current BOOLEAN NOT NULL, counts JSON NOT NULL, notes JSON NOT NULL"
)


def columns_of(table: str) -> dict[str, str]:
    """The columns of a table with their types, in CDM order."""
    return {words[0]: words[1] for words in (part.split() for part in TABLES[table].split(", "))}


def schema_of(number: int) -> str:
    """The schema that holds one loaded version."""
    return f"vocabulary_{number}"


def prepare() -> list[str]:
    """The statements that make a warehouse file ready for vocabularies; harmless where it is."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {STORE}",
        f"CREATE SCHEMA IF NOT EXISTS {VIEWS}",
        f"CREATE TABLE IF NOT EXISTS {STORE}.version ({_VERSION})",
    ]


def create(number: int) -> list[str]:
    """The statements that make the empty tables of one version."""
    schema = schema_of(number)
    tables = [f"CREATE TABLE {schema}.{table} ({columns})" for table, columns in TABLES.items()]
    return [f"CREATE SCHEMA {schema}", *tables]


def point_to(number: int) -> list[str]:
    """The statements after which `vocabulary.…` shows this version.

    `source_to_standard` is the one view beyond the CDM: for every code its valid standard concepts, one row each.
    """
    schema = schema_of(number)
    views = [f"CREATE OR REPLACE VIEW {VIEWS}.{table} AS SELECT * FROM {schema}.{table}" for table in TABLES]
    resolved = (
        f"CREATE OR REPLACE VIEW {VIEWS}.source_to_standard AS SELECT s.vocabulary_id AS source_vocabulary_id, "
        "s.concept_code AS source_code, s.concept_id AS source_concept_id, s.concept_name AS source_name, "
        "s.domain_id AS source_domain_id, r.relationship_id, t.concept_id AS target_concept_id, "
        "t.concept_name AS target_name, t.vocabulary_id AS target_vocabulary_id, t.domain_id AS target_domain_id "
        f"FROM {schema}.concept AS s JOIN {schema}.concept_relationship AS r ON r.concept_id_1 = s.concept_id "
        "AND r.relationship_id IN ('Maps to', 'Maps to value') AND r.invalid_reason IS NULL "
        f"JOIN {schema}.concept AS t ON t.concept_id = r.concept_id_2 AND t.standard_concept = 'S' "
        "AND t.invalid_reason IS NULL"
    )
    current = f"UPDATE {STORE}.version SET current = (number = {number})"
    return [*views, resolved, current]

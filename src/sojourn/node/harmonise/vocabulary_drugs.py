"""Names of medicines from the vocabulary in use: RxNorm's ingredients with their synonyms and brands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sojourn.node.harmonise.vocabulary_tables import VIEWS
from sojourn.omop.drugs import SEVERAL, Kind, key
from sojourn.omop.medicines import Names
from sojourn.omop.medicines_sql import RXNORM

if TYPE_CHECKING:
    import duckdb

_INGREDIENTS = (
    f"SELECT concept_id, concept_name FROM {VIEWS}.concept WHERE vocabulary_id IN {RXNORM} "
    "AND concept_class_id = 'Ingredient' AND standard_concept = 'S' AND coalesce(invalid_reason, '') = ''"
)
_OTHERS = (
    f"WITH ingredient AS ({_INGREDIENTS}) "
    f"SELECT s.concept_synonym_name, i.concept_name, 'generic' FROM {VIEWS}.concept_synonym AS s JOIN ingredient AS i "
    f"USING (concept_id) UNION ALL SELECT b.concept_name, i.concept_name, 'brand' FROM {VIEWS}.concept AS b "
    f"JOIN {VIEWS}.concept_relationship AS r ON r.concept_id_1 = b.concept_id "
    "AND coalesce(r.invalid_reason, '') = '' AND r.relationship_id IN ('Brand name of', 'Tradename of') "
    "JOIN ingredient AS i ON i.concept_id = r.concept_id_2 WHERE b.concept_class_id = 'Brand Name'"
)
_AT_ONCE = 20_000


def names(warehouse: duckdb.DuckDBPyConnection) -> Names:
    """What it knows. An ingredient's own name means that ingredient; a synonym or brand of several means `SEVERAL`."""
    ids: dict[str, int] = {}
    twice: set[str] = set()
    for concept, name in _rows(warehouse, _INGREDIENTS):
        if ids.setdefault(name.lower(), int(concept)) != int(concept):
            twice.add(name.lower())
    found: dict[str, tuple[str, Kind]] = {key(name): (SEVERAL if name in twice else name, "generic") for name in ids}
    own = set(found)
    for name, ingredient, kind in _rows(warehouse, _OTHERS):
        given, meant = key(name), SEVERAL if ingredient.lower() in twice else ingredient.lower()
        if given not in own and found.setdefault(given, (meant, kind))[0] != meant:
            found[given] = (SEVERAL, kind)
    return Names(found, {name: concept for name, concept in ids.items() if name not in twice})


def _rows(warehouse: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    result = warehouse.execute(sql)
    while rows := result.fetchmany(_AT_ONCE):
        yield from rows

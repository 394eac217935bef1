"""Names of medicines from the vocabulary in use: RxNorm's ingredients with their synonyms and brands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.node.harmonise.vocabulary_tables import VIEWS
from sojourn.omop.drugs import Kind, key

if TYPE_CHECKING:
    import duckdb

_INGREDIENTS = (
    f"SELECT concept_id, concept_name FROM {VIEWS}.concept WHERE vocabulary_id IN ('RxNorm', 'RxNorm Extension') "
    "AND concept_class_id = 'Ingredient' AND standard_concept = 'S' AND invalid_reason IS NULL"
)
_NAMES = (
    f"WITH ingredient AS ({_INGREDIENTS}) SELECT concept_name, concept_name, 'generic' FROM ingredient UNION ALL "
    f"SELECT s.concept_synonym_name, i.concept_name, 'generic' FROM {VIEWS}.concept_synonym AS s JOIN ingredient AS i "
    f"USING (concept_id) UNION ALL SELECT b.concept_name, i.concept_name, 'brand' FROM {VIEWS}.concept AS b "
    f"JOIN {VIEWS}.concept_relationship AS r ON r.concept_id_1 = b.concept_id AND r.invalid_reason IS NULL "
    "AND r.relationship_id IN ('Brand name of', 'Tradename of') JOIN ingredient AS i ON i.concept_id = r.concept_id_2 "
    "WHERE b.concept_class_id = 'Brand Name'"
)


def names(warehouse: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, Kind]]:
    """Name, by `drugs.key`, → its one ingredient and what it is. A name of several ingredients is left out."""
    found: dict[str, tuple[str, Kind]] = {}
    several: set[str] = set()
    for name, ingredient, kind in warehouse.execute(_NAMES).fetchall():
        said: tuple[str, Kind] = (ingredient.lower(), kind)
        if found.setdefault(key(name), said)[0] != said[0]:
            several.add(key(name))
    return {name: said for name, said in found.items() if name not in several}

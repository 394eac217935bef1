"""Small downloads in Athena's form, made for tests."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sojourn.node.harmonise.vocabulary_tables import TABLES, columns_of

EVER = ("19700101", "20991231")
# id, name, domain, vocabulary, class, standard, code
CONCEPTS: list[tuple[Any, ...]] = [
    (1, "Fracture of bone", "Condition", "SNOMED", "Disorder", "S", "125605004"),
    (2, 'Fracture "closed"', "Condition", "ICD10CM", "4-char billing code", "", "S82.0"),
    (3, "Old pneumonia", "Condition", "SNOMED", "Disorder", "S", "233604007"),
    (4, "Pneumonia", "Condition", "ICD10CM", "3-char billing code", "", "J18"),
    (5, "Smoker", "Observation", "SNOMED", "Clinical Finding", "S", "77176002"),
]
MAPS = [(2, 1), (4, 3), (1, 1), (3, 3), (5, 5)]


def tables(
    version: str = "v5.0 01-JAN-26",
    concepts: Iterable[tuple[Any, ...]] = CONCEPTS,
    maps: Iterable[tuple[int, int]] = MAPS,
) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the nine files."""
    concepts = list(concepts)
    return {
        "concept": [(*concept, *EVER, "") for concept in concepts],
        "concept_relationship": [(a, b, "Maps to", *EVER, "") for a, b in maps],
        "concept_ancestor": [(concept[0], concept[0], 0, 0) for concept in concepts],
        "concept_synonym": [(1, "Broken bone", 4180186)],
        "vocabulary": [("None", "OMOP Standardized Vocabularies", "OMOP generated", version, 44819096)],
        "domain": [("Condition", "Condition", 19)],
        "concept_class": [("Disorder", "Disorder", 40)],
        "relationship": [("Maps to", "Maps to", 0, 0, "Mapped from", 44818977)],
        "drug_strength": [],
    }


def text(table: str, rows: Iterable[tuple[Any, ...]]) -> str:
    """A tab-separated file as Athena writes it: nothing is quoted."""
    return "\n".join("\t".join(map(str, row)) for row in (tuple(columns_of(table)), *rows)) + "\n"


def write_zip(path: Path, rows: Mapping[str, list[tuple[Any, ...]]] | None = None, **files: str) -> Path:
    """A download; `files` replaces the text of a table, or leaves it out where it is empty."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for table, content in (rows or tables()).items():
            said = files.get(table, text(table, content))
            if said:
                archive.writestr(f"{table.upper()}.csv", said)
    return path


assert set(tables()) == set(TABLES)

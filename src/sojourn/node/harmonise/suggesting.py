"""A plan's draft from an export: its profile, which columns refer to which keys, and what both make likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.errors import DatasetError, HarmonisationError
from sojourn.node.harmonise.profiling import THRESHOLD, profile
from sojourn.node.harmonise.profiling_sources import MEMORY, Table, find, tables
from sojourn.node.warehouse import quote
from sojourn.omop.open_places import OPEN
from sojourn.omop.suggesting import suggest
from sojourn.omop.suggesting_likely import Likely
from sojourn.omop.suggesting_text import text, used_of, why_not
from sojourn.omop.suggestion import Link

LOOKED_AT = 500  # distinct values of a column that may refer to a key
_REFERRING = ("text", "whole number", "code")
_LEAST = 0.5  # of these, to be a link at all
_FEW = 20  # numbers
_KEYS = {"key", "nearly a key"}


@dataclass(frozen=True)
class Draft:
    """text: the YAML. likely: what it is made of. left: of each, why no rule is drafted; empty where one is.

    open: how many places wait for an answer.
    """

    text: str
    likely: list[Likely]
    left: list[str]
    open: int


def draft(folder: Path, *, threshold: int = THRESHOLD, memory: str = MEMORY) -> Draft:
    """Profile an export and draft its plan; DatasetError where there is nothing to read."""
    document = profile(folder, threshold=threshold, memory=memory).document
    likely = suggest(document, links(folder, document, memory))
    if not any(each.table.role == "person" and each.drafted for each in likely):
        raise HarmonisationError(
            "No file is likely to hold the persons: one row each, with a key.",
            remedy="Look at `sojourn harmonise profile`, and write the plan by hand.",
        )
    made = text(folder.resolve().name, likely)
    used = used_of(likely)
    left = ["" if each in used else why_not(each) for each in likely]
    return Draft(made, likely, left, made.split("\nsource:", 1)[1].count(OPEN))


def write(made: Draft, out: Path) -> None:
    """Write it for its owner alone; a file that is there stays as it is."""
    if out.exists():
        raise HarmonisationError("There is a file of that name already.", remedy="Give another name: --out FILE.")
    try:
        out.touch(mode=0o600, exist_ok=False)
        out.write_text(made.text, encoding="utf-8")
    except OSError:
        raise HarmonisationError("The draft cannot be written.", remedy="Give a place that can be.") from None


def links(folder: Path, document: Mapping[str, Any], memory: str = MEMORY) -> list[Link]:
    """Which columns' values are among the keys of other tables: a sample of each against all keys."""
    described = {table["table"]: table for table in document["tables"]}
    samples: dict[tuple[str, str], list[str]] = {}
    for table in _opened(folder, memory):
        columns = described.get(table.name, {}).get("columns", [])
        for column in columns:
            if column["type"] in _REFERRING:
                samples[table.name, column["name"]] = _sample(table, column["name"])
    found = []
    for table in _opened(folder, memory):
        for key in (column for column in described.get(table.name, {}).get("columns", []) if _KEYS & column.keys()):
            for (file, name), values in samples.items():
                other = next(column for column in described[file]["columns"] if column["name"] == name)
                numbers, same = other["type"] == "whole number", name.casefold() == key["name"].casefold()
                few = numbers and not same and len(values) < _FEW  # a few small numbers are among any numbers
                if file == table.name or not values or few or not _fits(other["length"], key["length"]):
                    continue
                share = _among(table, key["name"], values) / len(values)
                if share >= _LEAST:
                    found.append(Link(file, name, table.name, key["name"], round(share, 4), len(values), numbers))
    return found


def _opened(folder: Path, memory: str) -> Iterator[Table]:
    for path in find(folder):
        for table in tables(path, memory):
            if not isinstance(table, DatasetError):
                yield table


def _fits(length: list[int], key: list[int]) -> bool:
    return key[0] <= length[0] and length[1] <= key[1]


def _sample(table: Table, column: str) -> list[str]:
    """Distinct values by a hash of theirs: the same each time."""
    value = f"CAST({quote(column)} AS VARCHAR)"
    rows = table.connection.execute(
        f"SELECT DISTINCT {value} AS v FROM {table.relation} WHERE trim({value}) <> '' ORDER BY hash(v), v "
        f"LIMIT {LOOKED_AT}"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _among(table: Table, key: str, values: list[str]) -> int:
    name = f"CAST({quote(key)} AS VARCHAR)"
    row = table.connection.execute(
        f"SELECT count(DISTINCT {name}) FROM {table.relation} WHERE {name} IN (SELECT unnest($1))", [values]
    ).fetchone()
    return int(row[0]) if row else 0

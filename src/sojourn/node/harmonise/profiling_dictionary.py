"""A first draft of a table's dictionary from its profile, in the form that `sojourn dataset` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.analysis.declaration import LONGEST_LABEL
from sojourn.analysis.variable import SITE, Kind, Variable
from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.harmonise.profiling_sources import Table
from sojourn.node.warehouse import quote

_PERSON = re.compile(
    r"^(person|patient|subject|pat|patienten?)(_?(id|nr|no|number|key|identifier|source_value))?$|^(pid|mrn|nhs_number)$",
    re.IGNORECASE,
)
_ONE_EACH = re.compile(r"patient|person|subject|demograph", re.IGNORECASE)
_MOST_LEVELS = 1000


def draft(table: Table, columns: Sequence[Mapping[str, Any]], threshold: int) -> Dictionary | None:
    """Kinds, bounds and levels as the profile suggests; None where no column names persons, nor is each row one.

    A level is written only if at least `threshold` persons hold it; of a table too large to be copied levels are left
    to be decided.
    """
    person = _person(table, columns)
    if person is None:
        return None
    kept: dict[str, Variable] = {}
    excluded: list[str] = []
    notes: dict[str, str] = {}
    for column in columns:
        name = column["name"]
        if name == person:
            continue
        variable, note = _variable(table, column, person, threshold)
        if variable is None:
            excluded.append(name)
        else:
            kept[name] = variable
        if note:
            notes[name] = note
    try:
        return Dictionary(table.name, person, False, kept, tuple(excluded), notes)
    except DatasetError:
        return None  # names that a dictionary cannot hold: the profile says which


def _person(table: Table, columns: Sequence[Mapping[str, Any]]) -> str | None:
    named = [column["name"] for column in columns if _PERSON.match(column["name"])]
    if named:
        return str(named[0])
    if not _ONE_EACH.search(table.name):
        return None
    keys = [column["name"] for column in columns if "key" in column and re.fullmatch("id", column["name"], re.I)]
    return str(keys[0]) if keys else None


def _variable(table: Table, column: Mapping[str, Any], person: str, threshold: int) -> tuple[Variable | None, str]:
    kind, name = column["type"], column["name"]
    if name.casefold() == SITE:
        return None, "the name `site` is reserved: rename the column to use it"
    if why := column.get("identifier"):
        return None, f"likely an identifier, {why}"
    if kind == "empty":
        return None, "no value"
    if kind in ("date", "date and time"):
        return None, "a date: neither a number, a yes or no, nor a category"
    if kind in ("free text", "results"):
        return None, f"{kind}: harmonise it first, or leave it out"
    if kind == "yes or no" and {value.lower() for value in column["values"]["frequent"]} <= {"true", "false"}:
        return Variable(Kind.BOOLEAN), ""
    if kind in ("number", "whole number") and "range" in column:
        note = "review the bounds and give the unit"
        if column["distinct"]["count"] <= 10:
            note += "; few distinct values: is it a category or a boolean?"
        low, high = column["range"]
        return Variable(Kind.NUMBER, low=low, high=high), note
    return _category(table, column, person, threshold)


def _category(table: Table, column: Mapping[str, Any], person: str, threshold: int) -> tuple[Variable | None, str]:
    distinct = column["distinct"]["count"]
    if distinct > _MOST_LEVELS:
        return None, "too many different values for a category"
    if not table.whole:
        return None, "undecided: the table is too large for levels to be counted by persons"
    c, who = quote(column["name"]), quote(person)
    level = f"CAST({c} AS VARCHAR)"
    rows = table.connection.execute(
        f"SELECT {level} AS level FROM {table.relation} WHERE trim({level}) NOT IN ('', 'NA') "
        f"GROUP BY 1 HAVING count(DISTINCT {who}) >= {threshold} AND length(level) <= {LONGEST_LABEL} ORDER BY 1"
    ).fetchall()
    levels = tuple(str(row[0]) for row in rows)
    if not levels:
        return None, f"undecided: {distinct} levels, none held by {threshold} persons"
    rare = distinct - len(levels)
    note = f"undecided: {rare} levels held by fewer than {threshold} persons" if rare else ""
    return Variable(Kind.CATEGORY, levels=levels), note

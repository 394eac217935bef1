"""Files that are one table: those of equal columns whose names differ in a number, as a month or a year."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from sojourn.omop.suggesting_files import BY_CODE
from sojourn.omop.suggesting_likely import Likely
from sojourn.omop.suggesting_names import slug
from sojourn.omop.suggestion import Suggestion

_NUMBER = re.compile(r"\d+")
_FILES = ("CSV", "Parquet")
_ROW = "a key of each file, of which nobody knows whether it is one of all"


def several(likely: Sequence[Likely]) -> list[Likely]:
    """The same, with such files as one source of several; each file stays alone where anything speaks against it."""
    groups: dict[Any, list[Likely]] = {}
    for place, each in enumerate(likely):
        groups.setdefault(_same(each) or place, []).append(each)
    found = []
    for group in groups.values():
        others = {slug(each.name) for each in likely if each not in group}
        name = slug(_NUMBER.sub("", group[0].name))
        found += [_one(group, name, likely)] if len(group) > 1 and name and name not in others else group
    return found


def plain(source: str) -> str:
    """A file as a plan names it, compressed or not."""
    return source.removesuffix(".gz")


def _same(each: Likely) -> tuple[Any, ...] | None:
    """What files of one table have in common; None where a file is none of several, or is asked for by itself."""
    table, name = each.profile, plain(str(each.profile["source"]))
    forms = tuple(column["dates"]["form"] for column in table["columns"] if "dates" in column)
    if each.table.role not in BY_CODE or table["kind"] not in _FILES or not _NUMBER.search(name) or not all(forms):
        return None
    roles = tuple((column["name"], each.columns[column["name"]].role.replace("row", "")) for column in table["columns"])
    reading = (table["kind"], table.get("delimiter"), table.get("encoding"))
    return (_NUMBER.sub("*", name), each.table.role, roles, forms, reading)


def _one(group: Sequence[Likely], name: str, likely: Sequence[Likely]) -> Likely:
    first, tables = group[0], [each.profile for each in group]
    names = [plain(str(table["source"])) for table in tables]
    pattern = _NUMBER.sub("*", names[0])
    matched = [each for each in likely if fnmatchcase(plain(str(each.profile["source"])), pattern)]
    columns = [_column(same) for same in zip(*(table["columns"] for table in tables), strict=True)]
    profile = {
        **first.profile,
        "table": name,
        "source": pattern if len(matched) == len(group) else names,
        "rows": sum(table["rows"] for table in tables),
        "keys": [],
        "columns": columns,
        **{word: list(dict.fromkeys(line for table in tables for line in table[word])) for word in _LINES},
    }
    why = f"{first.table.reason}; {len(group)} files of equal columns, whose names differ in a number"
    roles = {
        column: Suggestion("", 0.0, _ROW) if said.role == "row" else said for column, said in first.columns.items()
    }
    return Likely(profile, replace(first.table, reason=why), roles)


_LINES = ("questions", "problems")


def _column(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One column of all files: the values and code systems of any of them."""
    found = {word: said for word, said in same[0].items() if word not in ("key", "nearly a key")}
    if any("values" in column for column in same):
        levels: dict[str, int] = {}
        for column in same:
            for level, rows in column.get("values", {}).get("frequent", {}).items():
                levels[level] = levels.get(level, 0) + rows
        others = max(column["values"]["others"] for column in same if "values" in column)
        found["values"] = {"frequent": levels, "others": others}
    if guesses := {guess["system"]: guess for column in reversed(same) for guess in column.get("codes", ())}:
        found["codes"] = list(guesses.values())
    return found

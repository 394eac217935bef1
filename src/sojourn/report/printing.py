"""What a command prints: words for people, or one JSON document for machines. Never a record's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def answer(document: Any, as_json: bool, words: Iterable[str] = ()) -> None:
    """Print a command's result: the document with --json, else these lines."""
    if as_json:
        print(json.dumps(document, indent=2, sort_keys=True, default=str), flush=True)
        return
    for line in words:
        print(line, flush=True)


def rows(title: str, columns: Sequence[str], found: Iterable[Mapping[str, Any]]) -> None:
    """A table of plain facts for people."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in found:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)

"""What a command prints: words for people, or one JSON document for machines. Never a record's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def answer(document: Any, as_json: bool, words: Iterable[str] = ()) -> None:
    """Print a command's result: the document with --json, else these lines."""
    if as_json:
        print(json.dumps(document, indent=2, sort_keys=True, default=str), flush=True)
        return
    for line in words:
        print(line, flush=True)


def rows(title: str, columns: Sequence[str], found: Iterable[Mapping[str, Any]]) -> None:
    """A table of plain facts for people."""
    from rich.console import Console  # not in the memory of a program that serves
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in found:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(table)


def witnesses(log: Mapping[str, Any]) -> None:
    """Who witnessed this party's log, and what it remembers of others'."""
    by = [{**row, "time": _time(row["time"]), "at": row["size"]} for row in log["witnessed_by"]]
    rows("This log is witnessed by", ("witness", "at", "time", "refused", "behind"), by)
    of = [{**row, "time": _time(row["time"]), "at": row["size"]} for row in log["witness_of"]]
    rows("It is a witness of", ("log", "at", "time", "refused"), of)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else ""


def _cell(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)

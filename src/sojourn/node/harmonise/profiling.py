"""Profile an export: what a site looks at before it plans how its data become comparable. All of it stays inside.

Three passes a table, whatever its size, in bounded memory: one counts (distinct values approximately above a bound),
one draws a sample that is the same each time, one asks of all rows what the sample suggested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.harmonise.profiling_columns import (
    FIRST_YEAR,
    MISSING_WORDS,
    Counts,
    Days,
    describe,
    hide_links,
    questions,
)
from sojourn.node.harmonise.profiling_dictionary import draft
from sojourn.node.harmonise.profiling_sources import MEMORY, Table, find, tables
from sojourn.node.harmonise.vocabulary_codes import Known
from sojourn.node.source import MISSING
from sojourn.node.warehouse import quote
from sojourn.omop.date_forms import candidates, decide, met, twin

SAMPLE = 20_000  # rows
EXACT = 100_000  # above so many distinct values they are counted approximately
LEVELS = 2_000  # above so many distinct values none is listed
THRESHOLD = 10
_MAY_BE_CODES = ("code", "unit", "text", "whole number")
_AT_ONCE = 40  # columns a query: what one query holds in memory is bounded
WORDS = "This page describes records of persons. It is for the institution that holds them, and must not leave it."


@dataclass(frozen=True)
class Profile:
    """document: the whole profile. dictionaries: the drafted ones by table. failed: how many files cannot be read."""

    document: dict[str, Any]
    dictionaries: dict[str, Dictionary] = field(default_factory=dict)
    failed: int = 0


def profile(folder: Path, *, threshold: int = THRESHOLD, memory: str = MEMORY, known: Known | None = None) -> Profile:
    """Profile every table of a folder, or one file; a bad file is told in its place.

    DatasetError where there is none. known: says which vocabularies know codes (`vocabulary_codes`).
    memory: of the database; a profile of any size stays within it and spills.
    """
    found: list[dict[str, Any]] = []
    dictionaries: dict[str, Dictionary] = {}
    failures: list[dict[str, str]] = []
    for path in find(folder):
        for table in tables(path, memory):
            if isinstance(table, DatasetError):
                failures.append({"file": path.name, "problem": str(table.args[0]), "remedy": table.remedy})
                continue
            document, dictionary = _table(table, threshold, known)
            found.append(document)
            if dictionary is not None:
                dictionaries[_apart(table.name, dictionaries)] = dictionary
    hide_links(found)
    document = {
        "profile": folder.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "stays inside": WORDS,
        "threshold": threshold,
        "tables": found,
        "unreadable": failures,
    }
    return Profile(document, dictionaries, len(failures))


def _table(table: Table, threshold: int, known: Known | None) -> tuple[dict[str, Any], Dictionary | None]:
    rows = _one(table, "SELECT count(*)")[0]
    if not rows:
        table.problems.append("There are column names and no rows.")
    counted = dict(_counted(table, rows)) if rows else {}
    sample = _sample(table, rows) if rows else {name: [] for name in table.columns}
    columns = []
    for name, declared in zip(table.columns, table.types, strict=True):
        if name in counted:
            days = _days(table, name, declared, counted[name], sample[name], threshold)
            found = describe(table.name, name, declared, counted[name], sample[name], days, threshold)
            coded = found["type"] in _MAY_BE_CODES and "identifier" not in found and sample[name]
            if known is not None and coded and (by := known(sample[name])):
                found["in the vocabulary"] = by
            columns.append(found)
    asked = [*table.questions, *(line for column in columns for line in questions(column["name"], column))]
    document = {
        "table": table.name,
        "source": table.source,
        "kind": table.kind,
        **({"schema": table.schema} if table.schema else {}),
        **({"encoding": table.encoding, "delimiter": table.delimiter} if table.encoding else {}),
        "rows": rows,
        "keys": [column["name"] for column in columns if "key" in column],
        "problems": table.problems,
        "questions": asked,
        "columns": columns,
        "sample": len(next(iter(sample.values()), [])) if rows > SAMPLE else rows,
    }
    return document, draft(table, columns, threshold) if rows else None


def _counted(table: Table, rows: int) -> Iterator[tuple[str, Counts]]:
    """The first pass; small sets of values are then counted exactly and listed."""
    for names in _batches(table.columns):
        expressions = [expression for name in names for expression in _expressions(name)]
        found = _one(table, f"SELECT {', '.join(expressions)}")
        width = len(found) // len(names)
        cells = {name: found[place * width : (place + 1) * width] for place, name in enumerate(names)}
        about = {name: int(cells[name][2]) for name in names}
        exact = [name for name in names if about[name] <= EXACT]
        listed = [name for name in exact if about[name] <= LEVELS]
        distinct = _each(table, exact, "count(DISTINCT {c})")
        levels = _each(table, listed, "histogram({c})")
        for name in names:
            filled, words, _, shortest, longest, mean, numbers, whole, booleans, low, high = cells[name]
            yield name, Counts(
                rows, filled, words, int(distinct.get(name, about[name])), name in distinct, shortest or 0,
                longest or 0, mean or 0.0, numbers, whole, booleans, low, high,
                {str(value): int(count) for value, count in (levels.get(name) or {}).items()},
            )  # fmt: skip


def _expressions(name: str) -> list[str]:
    c = _text(name)
    number = f"CASE WHEN isfinite(TRY_CAST({c} AS DOUBLE)) THEN TRY_CAST({c} AS DOUBLE) END"
    words = ", ".join(f"'{word}'" for word in MISSING_WORDS)
    return [
        f"count({c})",
        f"count(*) FILTER (WHERE lower(trim({c})) IN ({words}))",
        f"approx_count_distinct({c})",
        f"min(length({c}))",
        f"max(length({c}))",
        f"avg(length({c}))",
        f"count({number})",
        f"count(*) FILTER (WHERE {number} = floor({number}))",
        f"count(*) FILTER (WHERE lower({c}) IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n'))",
        f"min({number})",
        f"max({number})",
    ]


def _each(table: Table, names: Sequence[str], expression: str) -> dict[str, Any]:
    if not names:
        return {}
    found = _one(table, f"SELECT {', '.join(expression.replace('{c}', _text(name)) for name in names)}")
    return dict(zip(names, found, strict=True))


def _sample(table: Table, rows: int) -> dict[str, list[str]]:
    """Rows chosen by a hash of what they hold: the same each time, whatever the order in which they are read."""
    every = max(1, rows // SAMPLE)
    listed = ", ".join(_text(name) for name in table.columns)
    chosen = f" WHERE hash({listed}) % {every} = 0" if every > 1 else ""
    found = table.connection.execute(f"SELECT {listed} FROM {table.relation}{chosen} LIMIT {2 * SAMPLE}").fetchall()
    return {
        name: [str(row[place]) for row in found if row[place] is not None] for place, name in enumerate(table.columns)
    }


def _days(table: Table, name: str, declared: str, counts: Counts, sample: Sequence[str], threshold: int) -> Days | None:
    """Ask of all rows which of the forms that the sample has they are written in."""
    if declared.startswith(("DATE", "TIMESTAMP")):
        form = "%Y-%m-%d" if declared == "DATE" else "%Y-%m-%d %H:%M:%S"
        dates = decide(counts.filled, {form: counts.filled}, counts.filled)
        return _years(table, dates, f"CAST({quote(name)} AS TIMESTAMP)")
    forms = candidates(sample)
    if not forms:
        return None
    texts = f"trim({_text(name)})"
    reads, alone = (_read(table, forms, texts, without) for without in (False, True))
    found = met(reads, alone, threshold)
    listed = ", ".join(f"'{form}'" for form in found)
    moment = f"try_strptime({texts}, [{listed}])"
    read = int(_one(table, f"SELECT count({moment})")[0]) if found else 0
    if read < max(1, 0.5 * counts.filled):
        return None
    return _years(table, decide(counts.filled, found, read), moment)


def _read(table: Table, forms: Sequence[str], texts: str, without_twin: bool) -> dict[str, int]:
    """How many values each form reads, or reads while the form with day and month in the other order does not."""
    asked = []
    for form in forms:
        other = twin(form, forms) if without_twin else ""
        unless = f" AND try_strptime({texts}, '{other}') IS NULL" if other else ""
        asked.append(f"count(*) FILTER (WHERE try_strptime({texts}, '{form}') IS NOT NULL{unless})")
    return dict(zip(forms, map(int, _one(table, f"SELECT {', '.join(asked)}")), strict=True))


def _years(table: Table, dates: Any, moment: str) -> Days:
    latest = datetime.now(UTC).year + 1
    year = f"year({moment})"
    first, last, odd = _one(
        table, f"SELECT min({year}), max({year}), count(*) FILTER (WHERE {year} < {FIRST_YEAR} OR {year} > {latest})"
    )
    return Days(dates, first, last, int(odd))


def _text(name: str) -> str:
    """A column's value as text; what counts as missing is NULL."""
    missing = ", ".join(f"'{word}'" for word in MISSING)
    cast = f"CAST({quote(name)} AS VARCHAR)"
    return f"CASE WHEN trim({cast}) NOT IN ({missing}) THEN {cast} END"


def _one(table: Table, select: str) -> tuple[Any, ...]:
    import duckdb

    try:
        row = table.connection.execute(f"{select} FROM {table.relation}").fetchone()
    except duckdb.OutOfMemoryException:
        raise DatasetError(
            f"Table {table.name} needs more memory than is allowed.", remedy="Give more: `--memory 1GB`."
        ) from None
    assert row is not None
    return row


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _apart(name: str, taken: dict[str, Dictionary]) -> str:
    place, found = 2, name
    while found in taken:
        found, place = f"{name}-{place}", place + 1
    return found

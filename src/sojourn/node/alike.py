"""Which columns of a table follow from each other for nearly everybody: asked at import, and by the ledger.

Numbers, and yes or no as 1 and 0, are compared in pairs: first in a thousand persons, then in a sample of more of them,
and, where that does not tell them apart, over all rows in the database. Of two columns of two values each, and of
categories, nothing is asked: every level is a set of persons in what the ledger compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.variable import Kind
from sojourn.disclosure.alike import CLOSE, CLOSEST, Apart, Likeness, Line, Mask, Vector, common, lines, off_common
from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.warehouse import PERSON, TABLE, open_snapshot, quote

if TYPE_CHECKING:
    import duckdb

SAMPLE = 20_000  # rows; of smaller tables all
_PERSONS = 1_000  # in it at least, where there are so many
_MOST = 5 * SAMPLE  # rows, where few persons have them
_FIRST = 1_000  # persons of the sample in whom most pairs are told apart
_ROOM = 0.35  # of the persons off the common values in the sample, where a quarter is looked for in the table
_TOLD = 5  # pairs that an error names

Pair = tuple[str, str]
Commons = tuple[float | None, float | None]
Codes = NDArray[np.int64]
Connection: TypeAlias = "duckdb.DuckDBPyConnection"


@dataclass(frozen=True)
class Alike:
    """Two columns and how alike they are. missed, beside: in SQL the rows apart, and those off the common values."""

    pair: Pair
    likeness: Likeness
    missed: str
    beside: str


def refuse_alike(path: Path, spill: Path, dictionary: Dictionary, threshold: int) -> None:
    """DatasetError where two columns of a snapshot are nearly equal and the dictionary does not state that they may be.

    The error names columns, and neither persons, numbers of them nor values.
    """
    stated = {frozenset(pair) for pair in dictionary.nearly_equal}
    with _opened(path, spill) as connection:
        found = [
            each.pair
            for each in alike(connection, dictionary, threshold)
            if each.likeness.nearly_equal(threshold) and frozenset(each.pair) not in stated
        ]
    if found:
        told = "; ".join(f"`{one}` and `{other}`" for one, other in found[:_TOLD])
        more = f"; and {len(found) - _TOLD} pairs more" if len(found) > _TOLD else ""
        pairs = yaml.safe_dump([list(pair) for pair in found], default_flow_style=True, allow_unicode=True, width=10**6)
        raise DatasetError(
            f"Columns follow from each other, but for few persons: {told}{more}. An answer about each, over the same "
            "persons, would tell of these few.",
            remedy="Publish one of each pair: move the other to `excluded` in the dictionary. Or answer for them: name "
            f"the pairs there, as `nearly_equal: {pairs.strip()}`; that is logged. Nothing was imported.",
        )


def apart_persons(path: Path, spill: Path, dictionary: Dictionary, threshold: int) -> dict[Pair, Apart]:
    """The persons of a snapshot for whom two columns differ that are alike, by the pair."""
    with _opened(path, spill) as connection:
        return {
            each.pair: Apart(*(_persons(connection, each.pair, condition) for condition in (each.missed, each.beside)))
            for each in list(alike(connection, dictionary, threshold))
        }


def alike(connection: Connection, dictionary: Dictionary, threshold: int) -> Iterator[Alike]:
    """The pairs of columns that follow from each other for most persons, but not for all.

    threshold: T. Of columns that differ for fewer persons no sample holds T of them, so none is ruled out wrongly.
    """
    kinds = {name: variable.kind for name, variable in dictionary.columns.items()}
    names = [name for name, kind in kinds.items() if kind is not Kind.CATEGORY]
    rows, persons, *having = _one(
        connection,
        f"SELECT count(*), count(DISTINCT {PERSON})"
        + "".join(f", count(DISTINCT {PERSON}) FILTER (WHERE {quote(name)} IS NOT NULL)" for name in names)
        + f" FROM {TABLE}",
    )
    names = [name for name, number in zip(names, having, strict=True) if number >= threshold]
    if len(names) < 2:
        return
    counted = "count(*)" if rows == persons else f"count(DISTINCT {PERSON})"
    sample, codes = _sample(connection, names, rows, persons)
    commons = {name: common(sample[name]) for name in names}
    first = np.random.default_rng(rows).permutation(len(codes) and codes.max() + 1)[codes] < _FIRST
    some = {name: values[first] for name, values in sample.items()}
    for pair in combinations(names, 2):
        if all(kinds[name] is Kind.BOOLEAN for name in pair):
            continue
        one, other = pair
        held = commons[one], commons[other]
        if not _likely(some[one], some[other], codes[first], held, threshold):
            continue
        likely = _likely(sample[one], sample[other], codes, held, threshold)
        found = [_compared(connection, pair, line, held, counted) for line in likely]
        if not found:
            continue
        best = min(found, key=lambda each: each.likeness.apart)
        if best.likeness.alike(threshold) and not all(_two_valued(connection, name) for name in pair):
            yield best


def _sample(connection: Connection, names: list[str], rows: int, persons: int) -> tuple[Mapping[str, Vector], Codes]:
    """The columns (NaN: missing) of some persons, and the place of each row's person among these.

    Of persons who have very many rows some of these: whole persons until the room is used up would be few.
    """
    share = max(1, min(rows // SAMPLE, persons // _PERSONS))
    each = f"QUALIFY row_number() OVER (PARTITION BY {PERSON}) <= {max(1, _MOST * share // persons)}"
    listed = ", ".join(f"coalesce(CAST({quote(name)} AS DOUBLE), 'NaN') AS {quote(name)}" for name in names)
    read = connection.execute(
        f"SELECT {listed}, {PERSON} FROM {TABLE} WHERE hash({PERSON}) % {share} = 0 "
        f"{each if rows > _MOST * share else ''}"
    ).fetchnumpy()
    codes = np.unique(np.asarray(read[PERSON]), return_inverse=True)[1]
    return {name: np.asarray(read[name], dtype=np.float64) for name in names}, codes


def _likely(x: Vector, y: Vector, codes: Codes, commons: Commons, threshold: int) -> list[Line]:
    """The lines that the sample does not rule out."""
    there = ~(np.isnan(x) | np.isnan(y))
    x, y, codes = x[there], y[there], codes[there]
    beside = _count(codes, off_common(x, y, commons))
    found: dict[bytes, Line] = {}
    for line in lines(x, y, commons):
        missed = line.misses(x, y)
        apart = _count(codes, missed)
        if apart < threshold + _ROOM * beside:
            found.setdefault(missed.tobytes(), line)  # equality comes first, in the place of what is nearly 1 x + 0
    return list(found.values())


def _compared(connection: Connection, pair: Pair, line: Line, commons: Commons, counted: str) -> Alike:
    """All rows of the table, counted."""
    one, other = map(quote, pair)
    missed, off = _missed(pair, line), _off(pair, commons)
    counts = _one(
        connection,
        f"SELECT {counted}, {counted} FILTER (WHERE {missed}), {counted} FILTER (WHERE {off}) FROM {TABLE} "
        f"WHERE {one} IS NOT NULL AND {other} IS NOT NULL",
    )
    return Alike(pair, Likeness(*counts), missed, off)


def _count(codes: Codes, rows: Mask) -> int:
    return int(np.count_nonzero(np.bincount(codes[rows])))


def _missed(pair: Pair, line: Line) -> str:
    """`Line.misses` in SQL."""
    x, y = (f"CAST({quote(name)} AS DOUBLE)" for name in pair)
    slope, offset = _number(line.slope), _number(line.offset)
    terms = f"abs({y}) + abs({slope} * {x}) + abs({offset})"
    return f"NOT coalesce(abs({y} - ({slope} * {x} + {offset})) <= least({CLOSE!r} * ({terms}), {CLOSEST!r}), FALSE)"


def _off(pair: Pair, commons: Commons) -> str:
    """`off_common` in SQL."""
    if commons[0] is None or commons[1] is None:
        return "TRUE"
    held = zip(pair, (_number(commons[0]), _number(commons[1])), strict=True)
    return " OR ".join(f"CAST({quote(name)} AS DOUBLE) <> {value}" for name, value in held)


def _number(value: float) -> str:
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def _two_valued(connection: Connection, name: str) -> bool:
    """Whether a column has at most two values, whose persons are sets of the ledger wherever it is asked for."""
    found = f"SELECT DISTINCT {quote(name)} FROM {TABLE} WHERE {quote(name)} IS NOT NULL LIMIT 3"
    return _one(connection, f"SELECT count(*) FROM ({found})")[0] <= 2


def _persons(connection: Connection, pair: Pair, condition: str) -> BitMap:
    one, other = map(quote, pair)
    statement = f"SELECT DISTINCT {PERSON} FROM {TABLE} WHERE {one} IS NOT NULL AND {other} IS NOT NULL"
    return BitMap(np.asarray(connection.execute(f"{statement} AND ({condition})").fetchnumpy()[PERSON]))


def _one(connection: Connection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(map(int, row))


@contextmanager
def _opened(path: Path, spill: Path) -> Iterator[Connection]:
    import duckdb  # loads with the first import or study, not with an idle node

    connection = open_snapshot(path, spill=spill)
    try:
        yield connection
    except duckdb.Error:
        raise DatasetError(
            "The columns could not be compared.", remedy="Check free memory and disk space, and try again."
        ) from None
    finally:
        connection.close()

"""What persons give to the sums of a regression's numbers over those who have a level, which its cross-products tell.

Where one column of a design is 0 or 1 and another a number, their cross-product is the sum of the number over the
persons of a level; X'y is that of the outcome, or of the numbers over an outcome's class. With the sums of other levels
those of all cells follow by which a product's columns part everybody. A mean by groups tells the same, and is hidden
where one or two persons make up most of its sum: so each is judged as such a sum is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.matrix import Piece, levels_of
from sojourn.analysis.sets import persons_by_place
from sojourn.analysis.support import Contributions
from sojourn.analysis.terms import Category, Column, Factor, Spline, Survival
from sojourn.analysis.variable import SITE, Kind, indicator
from sojourn.statistics.design import (
    column_contributions,
    declared_classes,
    most_of_piece,
    observed,
    outcome_contributions,
    two_valued,
)
from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
Number = tuple[Piece, ...]  # factors of a column that are no levels; none of them is the constant


def level_contributions(
    rows: Rows,
    outcome: Factor | Survival | None,
    family: str,
    weights: str | None = None,
    offset: str | None = None,
) -> tuple[Contributions, ...]:
    """Absolute contributions of persons to each number's sum over each cell of levels, (numbers, cells), one a table.

    outcome: None where the design holds it already. Of the tables those of declared levels come first, the same at
    every site; `local` are those of numbers that have two values here.
    """
    declared = _Sums(rows, outcome, family, weights, offset, local=False)
    own = _Sums(rows, outcome, family, weights, offset, local=True)
    found = [_contributed(rows, declared, table, numbers) for table, numbers in declared.tables().items()]
    more = ((table, numbers) for table, numbers in own.tables().items() if table & own.here)
    return (*found, *(_contributed(rows, own, table, numbers) for table, numbers in more))


def model_contributions(
    rows: Rows, outcome: Factor | Survival, family: str, weights: str | None, offset: str | None
) -> tuple[Contributions, ...]:
    """Those to the sums of the columns, of the outcome, and of numbers over levels."""
    over_levels = level_contributions(rows, outcome, family, weights, offset)
    return (column_contributions(rows), *outcome_contributions(rows, outcome, family), *over_levels)


@dataclass(frozen=True)
class _Places:
    """Of each row the place of its level, and how many there are."""

    codes: NDArray[np.int64]
    size: int


class _Sums:
    """Which numbers are summed over which tables of levels, and their values."""

    def __init__(
        self,
        rows: Rows,
        outcome: Factor | Survival | None,
        family: str,
        weights: str | None,
        offset: str | None,
        local: bool,
    ) -> None:
        self.rows, self.local, self.weighed = rows, local, weights is not None
        self.places: dict[str, _Places] = {}
        self.here: frozenset[str] = frozenset()  # the factors that have two values at this site alone
        self.kept: dict[str, bool] = {}
        columns = [self._parts(column) for column in rows.layout.columns]
        self.others: dict[Number, Vector] = {}
        beside: list[tuple[Number, frozenset[str]]] = []
        if outcome is not None and not isinstance(outcome, Survival):
            piece = Piece(outcome, f"outcome {outcome.render()}")
            if self._outcome_classes(piece.label, outcome.render(), family):
                beside += [(number, levels | {piece.label}) for number, levels in columns]
            else:
                self.others[(piece,)] = rows.y
        if offset is not None:
            self.others[(Piece(Column(offset), f"offset {offset}"),)] = rows.offset
        dummies = [levels for number, levels in columns if not number]
        summed = [*columns, *((number, frozenset[str]()) for number in self.others)]
        crossed = ((number, levels | more) for number, levels in summed for more in dummies)
        self.pairs = [(number, levels) for number, levels in (*crossed, *beside) if number or self.weighed]

    def tables(self) -> dict[frozenset[str], list[Number]]:
        """The numbers of each table; a sum over fewer factors is one of cells, and safe where these are."""
        widest: dict[Number, list[frozenset[str]]] = {}
        for number, levels in dict.fromkeys(self.pairs):
            wider = [other for other in widest.setdefault(number, []) if not other < levels]
            widest[number] = wider if any(levels <= other for other in wider) else [*wider, levels]
        found: dict[frozenset[str], list[Number]] = {}
        for number, tables in widest.items():
            for levels in tables:
                if levels:
                    found.setdefault(levels, []).append(number)
        return found

    def values(self, number: Number) -> Vector:
        """Of each row, as it is weighed in the sums."""
        found = self.others.get(number)
        if found is None:
            found = np.ones(len(self.rows.y))
            for piece in number:
                found = found * piece.values(self.rows.population) * observed(self.rows, piece)
        return np.abs(found) * self.rows.w

    def most(self, number: Number) -> float:
        """The greatest absolute value of a row that the declarations allow; NaN where they do not say."""
        variables = self.rows.population.variables
        return float(np.prod([most_of_piece(piece, variables[piece.factor.name]) for piece in number]))

    def _parts(self, column: Iterable[Piece]) -> tuple[Number, frozenset[str]]:
        """A column's numbers and the factors of its levels."""
        number: list[Piece] = []
        levels: set[str] = set()
        for piece in column:
            if piece.factor.name == SITE:
                continue  # a site's own level is everybody here, another's nobody
            name = self._level(piece)
            number += [] if name else [piece]
            levels |= {name} if name else set()
        return tuple(number), frozenset(levels)

    def _level(self, piece: Piece) -> str:
        """The factor whose level a piece is; empty for a number."""
        population, factor = self.rows.population, piece.factor
        variable = population.variables[factor.name]
        if isinstance(factor, Category) or (isinstance(factor, Column) and variable.kind is not Kind.NUMBER):
            codes, size = population.column(factor.name).astype(np.int64), len(levels_of(variable))
            if (lacking := population.columns.get(indicator(factor.name))) is not None:
                codes, size = np.where(lacking == 1, size, codes), size + 1  # a place-holder is no level
            self.places[factor.name] = _Places(codes, size)
            return factor.name
        label = factor.render()
        if not self.local or isinstance(factor, Spline):
            return ""
        if label not in self.kept:
            self.kept[label] = self._two(label, piece.values(population))
        return label if self.kept[label] else ""

    def _two(self, label: str, values: Vector) -> bool:
        """Whether there are two values here, whose places are kept then."""
        pair = two_valued(values)
        if pair is not None:
            self.places[label] = _Places((values == pair[1]).astype(np.int64), 2)
            self.here |= {label}
        return pair is not None

    def _outcome_classes(self, label: str, outcome: str, family: str) -> bool:
        """Whether the outcome has two classes, whose places are kept then."""
        if declared_classes(self.rows, outcome, family):
            self.places[label] = _Places((self.rows.y == 1).astype(np.int64), 2)
            return True
        return self.local and self._two(label, self.rows.y)


def _contributed(rows: Rows, sums: _Sums, table: frozenset[str], numbers: list[Number]) -> Contributions:
    names = sorted(table)
    codes, cells = np.zeros(len(rows.y), dtype=np.int64), 1
    for name in names:
        codes, cells = codes * sums.places[name].size + sums.places[name].codes, cells * sums.places[name].size
    behind = persons_by_place(rows.population.persons, codes, cells)
    keys, at = _of_persons(rows, codes, cells)
    largest, second, total = np.zeros((3, len(numbers), cells))
    for line, number in enumerate(numbers):
        sizes = sums.values(number)
        if keys is not None:
            sizes = np.bincount(keys, weights=sizes, minlength=len(at)).astype(np.float64)
        largest[line], second[line] = _largest_two(sizes, at, cells)
        total[line] = np.bincount(at, weights=sizes, minlength=cells)
    most = np.repeat(np.array([[sums.most(number)] for number in numbers]), cells, axis=1)
    name = f"sums by {' & '.join(names)}"
    return Contributions((name,), largest, second, total, most, behind=behind, local=bool(table & sums.here))


def _of_persons(rows: Rows, codes: NDArray[np.int64], cells: int) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    """The key of each row, one a person and cell, and the cell of each key; no keys where every row is a person."""
    if rows.codes is None:
        return None, codes
    pairs, keys = np.unique(rows.codes * cells + codes, return_inverse=True)
    return keys.ravel().astype(np.int64), pairs % cells


def _largest_two(sizes: Vector, cells: NDArray[np.int64], size: int) -> tuple[Vector, Vector]:
    """The largest and the second largest of what lies in each cell."""
    largest, second = np.zeros((2, size))
    np.maximum.at(largest, cells, sizes)
    tops = np.flatnonzero(sizes == largest[cells])
    _, first = np.unique(cells[tops], return_index=True)
    rest = sizes.copy()
    rest[tops[first]] = 0.0
    np.maximum.at(second, cells, rest)
    return largest, second

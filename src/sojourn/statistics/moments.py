"""Sums and squares of numbers by groups, in two trips, with the evidence behind them.

First sums, then squares about the pooled mean of each group, so that no digit is lost far from zero (T. F. Chan,
G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983). Arrays of a table of groups start with its prefix;
those of one column end with its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import largest_two, persons_by_place
from sojourn.analysis.statistic import Gathered, Suppressed
from sojourn.analysis.support import Cells, Contributions
from sojourn.analysis.table import Table
from sojourn.analysis.values import bins_hit
from sojourn.analysis.variable import Kind, Variable

Shapes = dict[str, tuple[int, ...]]
_SUMS = ("sum", "squares", "drift")


@dataclass(frozen=True)
class Group:
    """n rows with mean centre + shift, kept apart since their sum is rounded, and squares about the mean.

    squares may be below zero where noise was drawn into it; None where they may not be shown.
    """

    n: int
    centre: float
    shift: float
    squares: float | None

    @property
    def mean(self) -> float | None:
        """None without rows."""
        return self.centre + self.shift if self.n else None

    @property
    def variance(self) -> float | None:
        """With n - 1; None of fewer than two rows, or where the squares are not shown."""
        return self.squares / (self.n - 1) if self.n > 1 and self.squares is not None else None

    @property
    def sd(self) -> float | Suppressed | None:
        """The root of the variance; suppressed where the squares are not shown."""
        if self.squares is None:
            return Suppressed()
        return None if self.variance is None else math.sqrt(max(self.variance, 0.0))

    def above(self, centre: float) -> float:
        """The mean less a number close to it, without the rounding of the mean."""
        return (self.centre - centre) + self.shift


@dataclass(frozen=True)
class Moments:
    """Rows, sums and squares of columns in the cells of each table. tables: prefix → table."""

    columns: tuple[str, ...]
    tables: Mapping[str, Table]

    def of_sums(self) -> Shapes:
        """The shapes of the first step."""
        shapes: Shapes = {f"{prefix}_n": table.shape for prefix, table in self.tables.items()}
        return shapes | {
            f"{prefix}_sum.{column}": table.shape for prefix, table in self.tables.items() for column in self.columns
        }

    def of_squares(self) -> Shapes:
        """The shapes of the second step."""
        return {
            f"{prefix}_{word}.{column}": table.shape
            for prefix, table in self.tables.items()
            for word in ("squares", "drift")
            for column in self.columns
        }

    def of_centres(self) -> Shapes:
        """The shapes of what the second step's ask tells."""
        return {f"{prefix}_centre": (len(self.columns), *table.shape) for prefix, table in self.tables.items()}

    def sums(self, population: Population) -> dict[str, Array]:
        """A site's part of the first step."""
        arrays: dict[str, Array] = {}
        for prefix, table in self.tables.items():
            places = table.places(population)
            arrays[f"{prefix}_n"] = np.bincount(places, minlength=table.size).reshape(table.shape)
            for column in self.columns:
                arrays[f"{prefix}_sum.{column}"] = summed(population.numeric(column), places, table)
        return arrays

    def squares(self, population: Population, broadcast: Mapping[str, Array]) -> dict[str, Array]:
        """A site's part of the second step: squares about the centre, and what the centre misses of the mean."""
        arrays: dict[str, Array] = {}
        for prefix, table in self.tables.items():
            places = table.places(population)
            for position, column in enumerate(self.columns):
                drift = population.numeric(column) - broadcast[f"{prefix}_centre"][position].ravel()[places]
                arrays[f"{prefix}_squares.{column}"] = summed(drift**2, places, table)
                arrays[f"{prefix}_drift.{column}"] = summed(drift, places, table)
        return arrays

    def evidence(self, population: Population, measures: tuple[str, ...]) -> tuple[list[Cells], list[Contributions]]:
        """The persons behind each group, and what each of them gives to the sums.

        A column of two values in a group, or of one, is also a table of counts, which mean and deviation would reveal.
        """
        cells, contributions = [], []
        for prefix, table in self.tables.items():
            places = table.places(population)
            outputs = {column: tuple(f"{prefix}_{word}.{column}" for word in _SUMS) for column in self.columns}
            everything = (f"{prefix}_n", *(name for output in outputs.values() for name in output))
            empty = table.empty(population.variables)
            cells.append(Cells(everything, table.shape, table.persons(population), table.dimensions, measures, empty))
            for column, output in outputs.items():
                contributions.append(contributions_of(output, column, places, population, table))
                cells += ends_of(output, population.numeric(column), places, population, table)
        return cells, contributions

    def distances(
        self, population: Population, centres: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """What persons give to the squares about these centres; about the population's own means where none are given.

        Where groups stand beside everybody, so do the squares within all of them: squares of everybody less those
        between groups, which means and numbers tell. Of booleans nothing: their squares follow from mean and number.
        """
        centres = self._own_centres(population) if centres is None else centres
        found: list[Contributions] = []
        for column in self.columns:
            if population.variables[column].kind is Kind.BOOLEAN:
                continue
            values, position = population.numeric(column), self.columns.index(column)
            most = width_of(population.variables[column]) ** 2
            for prefix, table in self.tables.items():
                output, places = (f"{prefix}_squares.{column}",), table.places(population)
                for inner in self.tables if table.size == 1 else (prefix,):
                    centre = np.asarray(centres[f"{inner}_centre"], dtype=np.float64)[position].ravel()
                    squares = (values - centre[self.tables[inner].places(population)]) ** 2
                    sizes = largest_sums(squares, places, population, table)
                    found.append(Contributions(output, *sizes, np.full(table.shape, most)))
        return tuple(found)

    def _own_centres(self, population: Population) -> dict[str, NDArray[np.float64]]:
        own = Partial(self.sums(population))
        return self.centres(Gathered(own, {}))

    def centres(self, sums: Gathered) -> dict[str, NDArray[np.float64]]:
        """What the second step's ask tells: the pooled mean of each column and group."""
        return {
            f"{prefix}_centre": np.stack([_centre(sums.total, prefix, column) for column in self.columns])
            for prefix in self.tables
        }

    def about(self, sums: Partial, squares: Partial, was: Mapping[str, Array], now: Mapping[str, Array]) -> Partial:
        """A site's part of the second step as it would be about other centres than those that were asked."""
        arrays = dict(squares.arrays)
        for prefix, table in self.tables.items():
            moved = np.asarray(was[f"{prefix}_centre"], dtype=float) - np.asarray(now[f"{prefix}_centre"], dtype=float)
            for position, column in enumerate(self.columns):
                square, drift = (f"{prefix}_{word}.{column}" for word in ("squares", "drift"))
                by = moved[position].reshape(table.shape)
                n, lost = sums[f"{prefix}_n"], squares.hidden(drift)
                own = squares[square] + 2 * by * squares[drift] + n * by**2
                arrays[square] = np.where(squares.hidden(square) | lost, 0, own)
                arrays[drift] = np.where(lost, 0, squares[drift] + n * by)
        return Partial(arrays, squares.suppressed)

    def groups(self, sums: Gathered, squares: Gathered, prefix: str, column: str) -> list[Group | None]:
        """Each group of a table, in C order, corrected for the rounding of the centre; None where a site hid it."""
        names = [f"{prefix}_{word}.{column}" for word in _SUMS]
        hidden = sums.total.hidden(f"{prefix}_n") | sums.total.hidden(names[0])
        hidden = (hidden | squares.total.hidden(names[2])).ravel()
        spread = squares.total.hidden(names[1]).ravel()
        centre = self.centres(sums)[f"{prefix}_centre"][self.columns.index(column)].ravel()
        square, drift = (squares.total[name].ravel() for name in names[1:])
        found: list[Group | None] = []
        for place, n in enumerate(sums.total[f"{prefix}_n"].ravel().tolist()):
            if hidden[place]:
                found.append(None)
                continue
            shift = drift[place] / n if n else 0.0
            about = None if spread[place] else float(square[place] - drift[place] * shift)
            found.append(Group(int(n), float(centre[place]), float(shift), about))
        return found

    @staticmethod
    def hiding(squares: Gathered, prefix: str, column: str) -> tuple[str, ...]:
        """The sites that hide a group's squares, where each site's part is known."""
        name = f"{prefix}_{_SUMS[1]}.{column}"
        return tuple(site for site, part in sorted(squares.by_site.items()) if part.hidden(name).any())


def summed(values: NDArray[np.float64], places: NDArray[np.int64], table: Table) -> NDArray[np.float64]:
    """The sum of a number over the rows of each cell."""
    if table.size == 1:
        return np.full(table.shape, np.sum(values))  # pairwise, hence more exact than bincount
    return np.asarray(np.bincount(places, weights=values, minlength=table.size), dtype=np.float64).reshape(table.shape)


def contributions_of(
    output: tuple[str, ...], column: str, places: NDArray[np.int64], population: Population, table: Table
) -> Contributions:
    """The largest absolute contributions of persons to each cell's sum, and what joint tests need."""
    values, variable = population.numeric(column), population.variables[column]
    largest, second, total = largest_sums(values, places, population, table)
    most = np.full(table.shape, most_of(variable))
    if variable.kind is Kind.BOOLEAN:
        rows = (values == level for level in (0.0, 1.0))
        levels = tuple(persons_by_place(population.persons[some], places[some], table.size) for some in rows)
        return Contributions(output, largest, second, total, most, np.full(table.shape, -1), levels)
    return Contributions(output, largest, second, total, most, values_hit(values, places, table))


def largest_sums(
    values: NDArray[np.float64], places: NDArray[np.int64], population: Population, table: Table
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each cell the largest and second largest absolute sum of a person, and the sum over all."""
    largest, second, total = np.zeros((3, table.size))
    persons, codes = np.unique(population.persons, return_inverse=True)
    width = max(len(persons), 1)
    pairs, inverse = np.unique(places * width + codes, return_inverse=True)
    of_person = np.bincount(inverse, weights=np.abs(values), minlength=len(pairs)).astype(np.float64)
    ends = np.searchsorted(pairs, np.arange(table.size + 1) * width)  # pairs are in order of their cells
    for place, (start, end) in enumerate(pairwise(ends)):
        largest[place], second[place] = largest_two(of_person[start:end, None])[:, 0]
        total[place] = of_person[start:end].sum()
    return largest.reshape(table.shape), second.reshape(table.shape), total.reshape(table.shape)


def most_of(variable: Variable) -> float:
    """The greatest absolute value that is declared; NaN where there is none."""
    if variable.kind is Kind.BOOLEAN:
        return 1.0
    if variable.low is None or variable.high is None:
        return math.nan
    return max(abs(variable.low), abs(variable.high)) or math.nan


def width_of(variable: Variable) -> float:
    """How far from a mean a value may be by its declared range; NaN where there is none."""
    if variable.low is None or variable.high is None:
        return math.nan
    return variable.high - variable.low or 1.0  # of a constant nobody gives any squares


def values_hit(values: NDArray[np.float64], places: NDArray[np.int64], table: Table) -> NDArray[np.int64]:
    """The bins that the values of each cell hit."""
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(places[order], np.arange(table.size + 1))
    hit = [bins_hit(values[order[start:end]]) for start, end in pairwise(ends)]
    return np.array(hit, dtype=np.int64).reshape(table.shape)


def ends_of(
    output: tuple[str, ...],
    values: NDArray[np.float64],
    places: NDArray[np.int64],
    population: Population,
    table: Table,
) -> list[Cells]:
    """The persons with the lowest and those with the highest value of each cell that holds at most two values.

    Where all have one value nobody differs, which tells everybody's: it is judged as if one person did, whether or not
    the site shows zeros, so that 0 and T - 1 persons look the same. Other cells stand for themselves; nothing where all
    cells have many values.
    """
    low, high = np.full(table.size, np.inf), np.full(table.size, -np.inf)
    np.minimum.at(low, places, values)
    np.maximum.at(high, places, values)
    ends = [values == end[places] for end in (low, high)]
    many = np.zeros(table.size, dtype=bool)
    many[places[~(ends[0] | ends[1])]] = True
    if (many | (low > high)).all():
        return []
    everyone = table.persons(population)
    lowest, highest = (persons_by_place(population.persons[rows], places[rows], table.size) for rows in ends)
    differ = tuple(cell[:1] if low[place] == high[place] else cell for place, cell in enumerate(highest))
    return [
        Cells(output, table.shape, tuple(map(_either, many, everyone, cells)), table.dimensions)
        for cells in (lowest, differ)
    ]


def _either(many: bool, everyone: BitMap, some: BitMap) -> BitMap:
    return everyone if many else some


def _centre(total: Partial, prefix: str, column: str) -> NDArray[np.float64]:
    """The pooled mean of each cell; 0 where a site suppressed it or there are no rows."""
    n, name = total[f"{prefix}_n"], f"{prefix}_sum.{column}"
    shown = ~(total.hidden(f"{prefix}_n") | total.hidden(name)) & (n > 0)
    return np.where(shown, total[name] / np.maximum(n, 1), 0.0)

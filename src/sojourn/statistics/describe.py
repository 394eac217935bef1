"""Numbers, means and standard deviations of columns, in all and by groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import largest_two, persons_by_place, persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Cells, Contributions, Support
from sojourn.analysis.table import Table
from sojourn.analysis.values import bins_hit
from sojourn.analysis.variable import SITE, Kind, Variable, Variables
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, check_number, names, unpack
from sojourn.statistics.cells import counts, remainders

MOST_COLUMNS = 100
EVERYONE = "all"  # label of the overall row
_NOISY = "Where no mean or deviation is shown, noise may have left fewer than two rows, or a variance below zero."
_SUMS = ("sum", "squares", "drift")


@dataclass(frozen=True)
class Describe:
    """Rows, persons with a missing value, mean and standard deviation of numbers and booleans.

    Two rounds: sums, then squares about the pooled mean, so that no digit is lost far from zero (T. F. Chan,
    G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983). Arrays of the overall row start with `all_`, of
    the groups with `group_`; those of one column end with its name.
    """

    columns: tuple[str, ...]
    by: tuple[str, ...] = ()

    name: ClassVar[str] = "describe"
    rules: ClassVar[tuple[str, ...]] = (
        "minimum frequency",
        "dominance",
        "p percent",
        "residual freedom",
        "text",
    )
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "columns": names(1, MOST_COLUMNS),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS - 1), {"type": "null"}]},
        },
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Describe:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), unpack(arguments.get("by")))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"columns": list(self.columns), **({"by": list(self.by)} if self.by else {})}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.columns, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        for column in self.columns:
            check_number(column, variables, "describe.columns")
        check_dimensions(self.by, variables, "describe.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        width = len(self.columns)
        sets = self._sets(variables)
        sums: dict[str, tuple[int, ...]] = {"missing": (width,)}
        sums |= {f"{prefix}_n": table.shape for prefix, table in sets.items()}
        sums |= {f"{prefix}_sum.{column}": table.shape for prefix, table in sets.items() for column in self.columns}
        squares = {
            f"{prefix}_{word}.{column}": table.shape
            for prefix, table in sets.items()
            for word in ("squares", "drift")
            for column in self.columns
        }
        centres = {f"{prefix}_centre": (width, *table.shape) for prefix, table in sets.items()}
        return Step("sums", {}, sums), Step("squares", centres, squares)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 2

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        arrays: dict[str, Array] = {}
        if step == "sums":
            arrays["missing"] = np.array([len(cell) for cell in self._missing(population)], dtype=np.int64)
        for prefix, table in self._sets(population.variables).items():
            places = table.places(population)
            if step == "sums":
                arrays[f"{prefix}_n"] = np.bincount(places, minlength=table.size).reshape(table.shape)
            for position, column in enumerate(self.columns):
                values = population.numeric(column)
                if step == "sums":
                    arrays[f"{prefix}_sum.{column}"] = _sums(values, places, table)
                else:
                    drift = values - broadcast[f"{prefix}_centre"][position].ravel()[places]
                    arrays[f"{prefix}_squares.{column}"] = _sums(drift**2, places, table)
                    arrays[f"{prefix}_drift.{column}"] = _sums(drift, places, table)
        return Partial(arrays)

    def support(self, population: Population) -> Support:
        """See `Statistic`; two values, or one, are also a table of counts, which mean and deviation would reveal."""
        cells = [Cells(("missing",), (len(self.columns),), self._missing(population))]
        contributions = []
        for prefix, table in self._sets(population.variables).items():
            places = table.places(population)
            outputs = {column: tuple(f"{prefix}_{word}.{column}" for word in _SUMS) for column in self.columns}
            everything = (f"{prefix}_n", *(name for output in outputs.values() for name in output))
            groups = table.persons(population)
            empty = table.empty(population.variables)
            cells.append(Cells(everything, table.shape, groups, table.dimensions, self.variables(), empty))
            for column, output in outputs.items():
                values = population.numeric(column)
                contributions.append(_contributions(output, column, places, population, table))
                cells += _ends(output, values, places, population, table)
        return Support(
            population=persons_of(population.persons),
            measures=self.variables(),
            cells=tuple(cells),
            contributions=tuple(contributions),
        )

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        sets = self._sets(variables)
        sums = yield Ask("sums")
        centres = {
            prefix: np.stack([_centre(sums.total, prefix, column) for column in self.columns]) for prefix in sets
        }
        squares = yield Ask("squares", {f"{prefix}_centre": centre for prefix, centre in centres.items()})
        missing = counts(sums, "missing", table=False)
        rows: list[tuple[Cell, ...]] = []
        for position, column in enumerate(self.columns):
            for prefix, table in sets.items():
                everyone = prefix == "all"
                index = [(EVERYONE,) * len(self.by)] if everyone else table.index()
                numbers = counts(sums, "all_n") if everyone else remainders(sums, "group_n", "all_n")
                moments = _moments(sums, squares, prefix, column, centres[prefix][position])
                for labels, n, (mean, sd) in zip(index, numbers, moments, strict=True):
                    rows.append((column, *labels, n, missing[position] if everyone else None, mean, sd))
        told = (_NOISY,) if any(isinstance(row[-1], Suppressed) for row in rows) and sums.noise else ()
        return Estimate(("variable", *self.by), ("n", "missing", "mean", "sd"), tuple(rows), _size(sums), warnings=told)

    def _sets(self, variables: Variables) -> dict[str, Table]:
        """The overall row and, where asked for, the groups."""
        groups = {"group": Table.of(self.by, variables)} if self.by else {}
        return {"all": Table.of((), variables), **groups}

    def _missing(self, population: Population) -> tuple[BitMap, ...]:
        none = np.empty(0, dtype=np.uint32)
        return tuple(persons_of(population.missing.get(column, none)) for column in self.columns)


def _size(sums: Gathered) -> dict[str, Any]:
    """The rows of the population, in all and, where the sites' parts are known, by site."""
    parts = {site: Gathered(part, {site: part}, sums.hidden, sums.noise) for site, part in sums.by_site.items()}
    by_site = {site: counts(part, "all_n", table=False)[0] for site, part in parts.items()}
    return {"n": counts(sums, "all_n", table=False)[0], **({"n_by_site": by_site} if by_site else {})}


def _sums(values: NDArray[np.float64], places: NDArray[np.int64], table: Table) -> NDArray[np.float64]:
    if table.size == 1:
        return np.full(table.shape, np.sum(values))  # pairwise, hence more exact than bincount
    return np.asarray(np.bincount(places, weights=values, minlength=table.size), dtype=np.float64).reshape(table.shape)


def _contributions(
    output: tuple[str, ...], column: str, places: NDArray[np.int64], population: Population, table: Table
) -> Contributions:
    """The largest absolute contributions of persons to each cell's sum, and what joint tests need."""
    values, variable = population.numeric(column), population.variables[column]
    largest, second, total = np.zeros((3, table.size))
    persons, codes = np.unique(population.persons, return_inverse=True)
    width = max(len(persons), 1)
    pairs, inverse = np.unique(places * width + codes, return_inverse=True)
    of_person = np.bincount(inverse, weights=np.abs(values), minlength=len(pairs)).astype(np.float64)
    ends = np.searchsorted(pairs, np.arange(table.size + 1) * width)  # pairs are in order of their cells
    for place, (start, end) in enumerate(pairwise(ends)):
        largest[place], second[place] = largest_two(of_person[start:end, None])[:, 0]
        total[place] = of_person[start:end].sum()
    most = np.full(table.shape, _most(variable))
    largest, second, total = (part.reshape(table.shape) for part in (largest, second, total))
    if variable.kind is Kind.BOOLEAN:
        rows = (values == level for level in (0.0, 1.0))
        levels = tuple(persons_by_place(population.persons[some], places[some], table.size) for some in rows)
        return Contributions(output, largest, second, total, most, np.full(table.shape, -1), levels)
    return Contributions(output, largest, second, total, most, _values(values, places, table))


def _most(variable: Variable) -> float:
    """The greatest absolute value that is declared; NaN where there is none."""
    if variable.kind is Kind.BOOLEAN:
        return 1.0
    if variable.low is None or variable.high is None:
        return math.nan
    return max(abs(variable.low), abs(variable.high)) or math.nan


def _values(values: NDArray[np.float64], places: NDArray[np.int64], table: Table) -> NDArray[np.int64]:
    """The bins that the values of each cell hit."""
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(places[order], np.arange(table.size + 1))
    hit = [bins_hit(values[order[start:end]]) for start, end in pairwise(ends)]
    return np.array(hit, dtype=np.int64).reshape(table.shape)


def _ends(
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


def _moments(
    sums: Gathered, squares: Gathered, prefix: str, column: str, centre: NDArray[np.float64]
) -> list[tuple[Cell, Cell]]:
    """Mean and standard deviation of each cell, corrected for the rounding of the centre."""
    names = [f"{prefix}_{word}.{column}" for word in _SUMS]
    hidden = sums.total.hidden(f"{prefix}_n") | sums.total.hidden(names[0])
    hidden = (hidden | squares.total.hidden(names[1]) | squares.total.hidden(names[2])).ravel()
    number = sums.total[f"{prefix}_n"].ravel()
    square, drift = (squares.total[name].ravel() for name in names[1:])
    moments: list[tuple[Cell, Cell]] = []
    noisy = bool(sums.noise or squares.noise)
    for place, n in enumerate(number.tolist()):
        if hidden[place]:
            moments.append((Suppressed(), Suppressed()))
        else:
            if noisy and n < 2:
                moments.append((Suppressed(), Suppressed()))
                continue
            mean = float(centre.ravel()[place] + drift[place] / n) if n else None
            variance = (square[place] - drift[place] ** 2 / n) / (n - 1) if n > 1 else None
            if noisy and variance is not None and variance < 0:
                moments.append((mean, Suppressed()))
                continue
            moments.append((mean, None if variance is None else math.sqrt(max(variance, 0.0))))
    return moments

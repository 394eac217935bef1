"""Quantiles of numbers from counts at declared values, in all and by groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Cells, Positions, Support, Thresholds
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, check_number, names, unpack
from sojourn.statistics.cells import counts
from sojourn.statistics.grid import MOST_BINS, Grid

QUARTILES = (0.25, 0.5, 0.75)
MOST_COLUMNS = 20
MOST_QUANTILES = 20
MOST_COUNTS = 20_000  # of all columns and groups together
_BETWEEN = "some lie between two values, as the counts between these may not be shown"


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of rows, interpolated as R's type 7, pandas and NumPy do.

    One round: for each group the rows at or below each value of a grid that the plan fixes (`below.` and the column's
    name), and for each quantile the group's rows (`rows.` and the quantile). A sum of such counts over the sites tells
    between which two grid values each order statistic lies; the answer is then found by bisection. precision: of each
    column, the distance of its possible values; empty where none is declared. bins: the most of a grid.
    """

    columns: tuple[str, ...]
    by: tuple[str, ...] = ()
    q: tuple[float, ...] = QUARTILES
    precision: tuple[float, ...] = ()
    bins: int = MOST_BINS

    name: ClassVar[str] = "quantiles"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "positions", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "columns": names(1, MOST_COLUMNS),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS - 1), {"type": "null"}]},
            "q": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MOST_QUANTILES},
            "precision": {
                "anyOf": [
                    {"type": "number"},
                    {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MOST_COLUMNS},
                    {"type": "null"},
                ]
            },
            "bins": {"type": "number", "minimum": 2, "maximum": MOST_BINS},
        },
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Quantiles:
        """From arguments that fit the schema; PlanError where a quantile or a precision cannot be."""
        columns = tuple(arguments["columns"])
        q = tuple(sorted({float(one) for one in arguments.get("q", QUARTILES)}))
        if not all(0 < one < 1 for one in q):
            remedy = "Give fractions between 0 and 1: a minimum or maximum is one person's value and never leaves."
            raise PlanError("A quantile is outside its range.", remedy=remedy, field=f"{field}.q")
        given = arguments.get("precision")
        steps = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,) * len(columns)
        if steps and (len(steps) != len(columns) or not all(math.isfinite(step) and step > 0 for step in steps)):
            remedy = "Give one number above zero, or one for each column."
            raise PlanError("This is no precision of the columns.", remedy=remedy, field=f"{field}.precision")
        bins = arguments.get("bins", MOST_BINS)
        if bins != int(bins) or not 2 <= bins <= MOST_BINS:
            remedy = f"Give a whole number from 2 to {MOST_BINS:,}."
            raise PlanError("This is no number of bins.", remedy=remedy, field=f"{field}.bins")
        return cls(columns, unpack(arguments.get("by")), q, tuple(map(float, steps)), int(bins))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given: dict[str, Any] = {"columns": list(self.columns)}
        given |= {"by": list(self.by)} if self.by else {}
        given |= {"q": list(self.q)} if self.q != QUARTILES else {}
        given |= {"precision": list(self.precision)} if self.precision else {}
        return given | ({"bins": self.bins} if self.bins != MOST_BINS else {})

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.columns, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; a column without a declared range is refused, as a range of the data would be a person's."""
        check_dimensions(self.by, variables, "quantiles.by")
        for column in self.columns:
            check_number(column, variables, "quantiles.columns", booleans=False)
        grids = self.grids(variables)
        if Table.of(self.by, variables).size * sum(grid.bins for grid in grids.values()) > MOST_COUNTS:
            remedy = "Ask for fewer columns or groups at once, or a coarser `precision`."
            raise PlanError(f"This needs more than {MOST_COUNTS:,} counts.", remedy=remedy, field="quantiles")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        groups = Table.of(self.by, variables).shape
        shapes: dict[str, tuple[int, ...]] = {self.rows_name(q): (*groups, 1) for q in self.q}
        shapes |= {self.below_name(name): (*groups, grid.bins - 1, 1) for name, grid in self.grids(variables).items()}
        return (Step("counts", broadcast={}, partial=shapes),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        table = Table.of(self.by, population.variables)
        rows = np.bincount(table.places(population), minlength=table.size).reshape(*table.shape, 1)
        arrays: dict[str, Array] = {self.rows_name(q): rows for q in self.q}
        for column, grid, places in self._places(table, population):
            bins = np.bincount(places, minlength=table.size * grid.bins).reshape(*table.shape, grid.bins, 1)
            arrays[self.below_name(column)] = np.cumsum(bins, axis=-2)[..., :-1, :]
        return Partial(arrays)

    def support(self, population: Population) -> Support:
        """See `Statistic`; the persons between two grid values, from which the gate chooses what may be told apart."""
        table = Table.of(self.by, population.variables)
        groups, empty = table.persons(population), table.empty(population.variables)
        outputs = (*(self.rows_name(q) for q in self.q), *(self.below_name(column) for column in self.columns))
        cells = Cells(outputs, table.shape, groups, table.dimensions, self.variables(), empty)
        thresholds = []
        for column, grid, places in self._places(table, population):
            persons = persons_by_place(population.persons, places, table.size * grid.bins)
            thresholds.append(Thresholds(self.below_name(column), (*table.shape, grid.bins), persons, self.variables()))
        return Support(
            population=persons_of(population.persons),
            measures=self.variables(),
            cells=(cells,),
            positions=tuple(Positions((self.rows_name(q),), (q,), cells.counts()) for q in self.q),
            thresholds=tuple(thresholds),
        )

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("counts")
        table, numbers = Table.of(self.by, variables), self._numbers(gathered)
        rows: list[tuple[Cell, ...]] = []
        coarse: dict[str, None] = {}
        extremes: list[dict[str, Cell]] = []
        for column, grid in self.grids(variables).items():
            if grid.coarse:
                coarse[f"{column} {grid.coarse}"] = None
            below, hidden = (part.reshape(table.size, -1) for part in _array(gathered, self.below_name(column)))
            for place, labels in enumerate(table.index()):
                curve = _Curve.of(grid, below[place], hidden[place])
                names = ("variable", *self.by, "low", "high")
                extremes.append(dict(zip(names, (column, *labels, *curve.outermost()), strict=True)))
                for q in self.q:
                    n = _told(gathered, q, place)
                    found = (Suppressed(),) * 3 if n is None else curve.quantile(q, n)
                    rows.append((column, *labels, q, numbers[place], *found))
        if any(_unresolved(row) for row in rows):
            coarse[_BETWEEN] = None
        exactness = f"approximate: {'; '.join(coarse)}" if coarse else "pooled"
        precision = {column: grid.step for column, grid in self.grids(variables).items()}
        facts = {"precision": precision, "extremes": extremes}
        return Estimate(("variable", *self.by, "q"), ("n", "value", "low", "high"), tuple(rows), facts, exactness)

    @staticmethod
    def rows_name(q: float) -> str:
        """The array of rows behind this quantile."""
        return f"rows.{q:.15g}"

    @staticmethod
    def below_name(column: str) -> str:
        """The array of rows up to each value of a column's grid."""
        return f"below.{column}"

    def _numbers(self, gathered: Gathered) -> list[Cell]:
        """The rows of each group, from whichever quantile shows them."""
        each = zip(*(counts(gathered, self.rows_name(q)) for q in self.q), strict=True)
        return [next((cell for cell in cells if not isinstance(cell, Suppressed)), cells[0]) for cells in each]

    def grids(self, variables: Variables) -> dict[str, Grid]:
        """The values at which each column is counted; public, as declared ranges and the plan are."""
        steps = self.precision or (None,) * len(self.columns)
        return {
            column: Grid.of(column, variables[column], step, self.bins, "quantiles")
            for column, step in zip(self.columns, steps, strict=True)
        }

    def _places(self, table: Table, population: Population) -> Iterator[tuple[str, Grid, NDArray[np.int64]]]:
        """For each column its grid, and of each row the group and bin together."""
        groups = table.places(population)
        for column, grid in self.grids(population.variables).items():
            yield column, grid, groups * grid.bins + grid.places(population.numeric(column))


@dataclass(frozen=True)
class _Curve:
    """What is known of a column's distribution: `number[i]` rows are in the grid's bins before `end[i]`."""

    grid: Grid
    end: tuple[int, ...]
    number: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, below: NDArray[np.int64], hidden: NDArray[np.bool_]) -> _Curve:
        """From the counts that are shown."""
        shown = np.flatnonzero(~hidden)
        return cls(grid, tuple((shown + 1).tolist()), tuple(below[shown].tolist()))

    def outermost(self) -> tuple[float | None, float | None]:
        """The lowest value up to which rows are counted, and the highest from which on; None where none is shown."""
        if not self.end:
            return None, None
        return self.grid.high_of(self.end[0] - 1), self.grid.low_of(self.end[-1])

    def quantile(self, q: float, n: int) -> tuple[Cell, Cell, Cell]:
        """The quantile of n rows and the ends between which it is; None where there are no rows."""
        if not n:
            return None, None, None
        place = (n - 1) * q
        rank, share = math.floor(place), place - math.floor(place)
        one = self._order_statistic(rank, n)
        other = self._order_statistic(min(rank + 1, n - 1), n) if share else one
        value, low, high = (a + (b - a) * share for a, b in zip(one[:3], other[:3], strict=True))
        return (value if one[3] and other[3] else Suppressed(low, high)), low, high

    def _order_statistic(self, rank: int, n: int) -> tuple[float, float, float, bool]:
        """The row of this rank, from 0: its value, its ends, and whether the value is more than a guess.

        Between two values it is laid where it would be if the rows were spread evenly. Not so below the first or above
        the last value at which a count is shown: there a declared range says nothing of where the rows are.
        """
        after = int(np.searchsorted(self.number, rank, side="right"))
        start, before = (self.end[after - 1], self.number[after - 1]) if after else (0, 0)
        stop, until = (self.end[after], self.number[after]) if after < len(self.end) else (self.grid.bins, n)
        low, high = self.grid.low_of(start), self.grid.high_of(stop - 1)
        if stop - start == 1:
            return (low + high) / 2 if low != high else low, low, high, True
        value = low + (high - low) * (rank - before + 0.5) / max(until - before, 1)
        return value, low, high, 0 < after < len(self.end)


def _array(gathered: Gathered, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    return gathered.total[name], gathered.total.hidden(name)


def _told(gathered: Gathered, q: float, place: int) -> int | None:
    """The rows of a group where this quantile of it may be told."""
    number, hidden = (part.ravel()[place] for part in _array(gathered, Quantiles.rows_name(q)))
    return None if hidden else int(number)


def _unresolved(row: tuple[Cell, ...]) -> bool:
    value, low, high = row[-3:]
    return isinstance(value, Suppressed) or low != high

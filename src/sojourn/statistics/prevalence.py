"""Prevalences: the share of persons with a condition, with Wilson's or exact intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy
from pyroaring import BitMap

from sojourn.analysis.matrix import declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.cells import counts
from sojourn.statistics.describe import EVERYONE, MOST_COLUMNS

_COLUMNS = ("n", "cases", "prevalence", "ci_low", "ci_high")
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class Prevalence:
    """Persons with any row where a column is true, among all persons, in all and by groups.

    Arrays of the overall row start with `all_`, of the groups with `group_`; their last axis is without, with.
    """

    columns: tuple[str, ...]
    by: tuple[str, ...] = ()
    interval: str = "wilson"

    name: ClassVar[str] = "prevalence"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "class disclosure", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "columns": names(1, MOST_COLUMNS),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS - 1), {"type": "null"}]},
            "interval": {"enum": ["wilson", "exact"]},
        },
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Prevalence:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), unpack(arguments.get("by")), arguments.get("interval", "wilson"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given: dict[str, Any] = {"columns": list(self.columns), **({"by": list(self.by)} if self.by else {})}
        return given | ({"interval": self.interval} if self.interval != "wilson" else {})

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.columns, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; PlanError unless the columns are booleans."""
        for column in self.columns:
            if declared(column, variables, "prevalence.columns").kind is not Kind.BOOLEAN:
                remedy = "Use `count` or `crosstab` for categories, `describe` for numbers."
                raise PlanError(f"`{column}` is no boolean.", remedy=remedy, field="prevalence.columns")
            if column in self.by:
                raise PlanError("A column is there twice.", remedy="Name it once.", field="prevalence.by")
        check_dimensions(self.by, variables, "prevalence.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (Step("count", {}, {name: table.shape for name, _, table in self._tables(variables)}),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        arrays: dict[str, Array] = {}
        for name, _, table in self._tables(population.variables):
            numbers = [len(cell) for cell in _persons(table, population)]
            arrays[name] = np.array(numbers, dtype=np.int64).reshape(table.shape)
        return Partial(arrays)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        cells = tuple(
            Cells(
                (name,),
                table.shape,
                _persons(table, population),
                table.dimensions,
                empty=table.empty(population.variables),
            )
            for name, _, table in self._tables(population.variables)
        )
        return Support(persons_of(population.persons), self.variables(), cells)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        rows: list[tuple[Cell, ...]] = []
        for name, column, table in self._tables(variables):
            everyone = name.startswith("all_")
            index = [(EVERYONE,) * len(self.by)] if everyone else [labels[:-1] for labels in table.index()[::2]]
            cells = counts(gathered, name)
            for labels, without, cases in zip(index, cells[::2], cells[1::2], strict=True):
                rows.append((column, *labels, *self._share(without, cases)))
        return Estimate(("variable", *self.by), _COLUMNS, tuple(rows), _size(gathered, self.columns[0]))

    def _share(self, without: Cell, cases: Cell) -> tuple[Cell, ...]:
        """The values of `_COLUMNS`; suppressed where either number is."""
        if not isinstance(without, int) or not isinstance(cases, int):
            return (Suppressed(), cases, *(Suppressed(),) * 3)
        n = without + cases
        if not n:
            return (0, 0, None, None, None)
        ends = exact_interval(cases, n) if self.interval == "exact" else wilson_interval(cases, n)
        return (n, cases, cases / n, *ends)

    def _tables(self, variables: Variables) -> list[tuple[str, str, Table]]:
        """Array, column and table, the overall one first."""
        groups = [("group", self.by)] if self.by else []
        return [
            (f"{prefix}_count.{column}", column, Table.of((*by, column), variables))
            for column in self.columns
            for prefix, by in (("all", ()), *groups)
        ]


def wilson_interval(cases: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, JASA 22, 1927)."""
    z = float(scipy.special.ndtri(_HIGH))
    share, width = cases / n, z**2 / n
    middle = (share + width / 2) / (1 + width)
    half = z * math.sqrt(share * (1 - share) / n + width / n / 4) / (1 + width)
    return (0.0 if cases == 0 else middle - half), (1.0 if cases == n else middle + half)


def exact_interval(cases: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934)."""
    low = float(scipy.special.betaincinv(cases, n - cases + 1, _LOW)) if cases else 0.0
    high = float(scipy.special.betaincinv(cases + 1, n - cases, _HIGH)) if cases < n else 1.0
    return low, high


def _persons(table: Table, population: Population) -> tuple[BitMap, ...]:
    """The persons of each cell; who has a row with the condition is not among those without it."""
    persons = list(table.persons(population))
    for place in range(0, len(persons), 2):
        persons[place] = persons[place] - persons[place + 1]
    return tuple(persons)


def _size(gathered: Gathered, column: str) -> dict[str, Any]:
    """All persons, where the overall row is shown."""
    name = f"all_count.{column}"
    return {} if gathered.total.hidden(name).any() else {"n": int(gathered.total[name].sum())}

"""Counts of persons, in all or by up to three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Step
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.table import Label, Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.cells import counts


@dataclass(frozen=True)
class Count:
    """Distinct persons of each cell of `by` (declared levels only); without `by` of the whole population."""

    by: tuple[str, ...] = ()

    name: ClassVar[str] = "count"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "class disclosure", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS), {"type": "null"}]}},
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Count:
        """From arguments that fit the schema."""
        return cls(unpack(arguments.get("by")))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"by": list(self.by)} if self.by else {}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted(set(self.by) - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        check_dimensions(self.by, variables, "count.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (counting(Table.of(self.by, variables)),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return count_persons(Table.of(self.by, population.variables), population)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        table = Table.of(self.by, population.variables)
        return Support(persons_of(population.persons), self.variables(), (cells_of(table, population),))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        index = self.index(variables)
        rows = tuple((*labels, n) for labels, n in zip(index, counts(gathered), strict=True))
        return Estimate(index=self.by, columns=("n",), rows=rows)

    def index(self, variables: Variables) -> list[tuple[Label, ...]]:
        """The labels of each cell."""
        return Table.of(self.by, variables).index()


def counting(table: Table) -> Step:
    """The one step of a table of counts."""
    return Step("count", broadcast={}, partial={"count": table.shape})


def count_persons(table: Table, population: Population) -> Partial:
    """Distinct persons of each cell."""
    numbers = [len(cell) for cell in table.persons(population)]
    return Partial({"count": np.array(numbers, dtype=np.int64).reshape(table.shape)})


def cells_of(table: Table, population: Population) -> Cells:
    """The persons behind a table of counts."""
    empty = table.empty(population.variables)
    return Cells(("count",), table.shape, table.persons(population), table.dimensions, empty=empty)

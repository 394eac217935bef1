"""Counts of persons in declared bins of a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Step
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.variable import Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME, check_number
from sojourn.statistics.cells import counts

MOST_EDGES = 1_000


@dataclass(frozen=True)
class Histogram:
    """Distinct persons below, in and above bins; the edges are declared in the plan, never taken from the data.

    Bins are closed at the left, the last one also at the right, as in NumPy.
    """

    column: str
    edges: tuple[float, ...]

    name: ClassVar[str] = "histogram"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "histogram", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "column": NAME,
            "edges": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": MOST_EDGES},
        },
        "required": ["column", "edges"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Histogram:
        """From arguments that fit the schema; PlanError where the edges do not increase."""
        edges = tuple(float(edge) + 0.0 for edge in arguments["edges"])  # turns -0.0 into 0.0
        if not all(math.isfinite(edge) for edge in edges) or any(low >= high for low, high in pairwise(edges)):
            remedy = "Give finite edges in strictly increasing order."
            raise PlanError("The edges do not increase.", remedy=remedy, field=f"{field}.edges")
        return cls(arguments["column"], edges)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"column": self.column, "edges": list(self.edges)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return (self.column,)

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        check_number(self.column, variables, "histogram.column", booleans=False)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (Step("count", broadcast={}, partial={"count": (len(self.edges) + 1,)}),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return Partial({"count": np.array([len(bin) for bin in self._bins(population)], dtype=np.int64)})

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        bins = self._bins(population)
        cells = Cells(("count",), (len(bins),), bins, (self.column,), self.variables())
        return Support(persons_of(population.persons), self.variables(), (cells,))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        ends = pairwise((None, *self.edges, None))
        rows = tuple((low, high, n) for (low, high), n in zip(ends, counts(gathered), strict=True))
        return Estimate(index=("low", "high"), columns=("n",), rows=rows)

    def _bins(self, population: Population) -> tuple[BitMap, ...]:
        """The persons of each bin: below the first edge, each interval, above the last edge."""
        values = population.numeric(self.column)
        places = np.searchsorted(self.edges, values, side="right")
        places[values == self.edges[-1]] = len(self.edges) - 1
        return persons_by_place(population.persons, places, len(self.edges) + 1)

"""Whether there are at least so many persons, in all or by up to three dimensions: yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Support
from sojourn.analysis.variable import Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.cells import counts
from sojourn.statistics.count import Count

STRIDE = 10
MOST = 10_000


@dataclass(frozen=True)
class AtLeast:
    """Whether each cell of `by` has at least k persons; without `by` the whole population.

    A masked plan compares and never adds: what its coordinator is told of a cell is k where there are as many, else 0.
    A clear one is asked for the counts, and answers from what of them may be shown.
    """

    k: int
    by: tuple[str, ...] = ()

    name: ClassVar[str] = "at_least"
    compared: ClassVar[str] = "count"
    rules: ClassVar[tuple[str, ...]] = Count.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "k": {"type": "number", "minimum": STRIDE, "maximum": MOST, "multipleOf": STRIDE},
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS), {"type": "null"}]},
        },
        "required": ["k"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> AtLeast:
        """From arguments that fit the schema; PlanError where k is none of the numbers that may be asked about."""
        k = arguments["k"]
        if not STRIDE <= k <= MOST or k % STRIDE:
            remedy = f"Give a multiple of {STRIDE} up to {MOST:,}: finer ones would tell of single persons."
            raise PlanError("This is no number of persons to compare with.", remedy=remedy, field=f"{field}.k")
        return cls(int(k), unpack(arguments.get("by")))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"k": self.k} | self._count.arguments()

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self._count.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        check_dimensions(self.by, variables, "at_least.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return self._count.steps(variables)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return self._count.local(step, population, broadcast)

    def support(self, population: Population) -> Support:
        """See `Statistic`; as of a count, so that no search by many questions tells more than a count would."""
        return self._count.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        index = self._count.index(variables)
        rows = tuple((*labels, self._reached(n)) for labels, n in zip(index, counts(gathered), strict=True))
        return Estimate(index=self.by, columns=("reached",), rows=rows, facts={"k": self.k})

    def _reached(self, n: Cell) -> Cell:
        if not isinstance(n, Suppressed):
            return int(n) >= self.k if n is not None else None
        if n.low is not None and n.low >= self.k:
            return True
        return False if n.high is not None and n.high < self.k else Suppressed()

    @property
    def _count(self) -> Count:
        return Count(self.by)

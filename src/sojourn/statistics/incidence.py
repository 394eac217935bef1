"""Incidence rates: events by person-time, with exact Poisson intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.describe import EVERYONE
from sojourn.statistics.person_time import PersonTime, rate_of, shown

_COLUMNS = ("events", "time", "rate", "ci_low", "ci_high")
PER: dict[str, Any] = {"type": "number"}


@dataclass(frozen=True)
class Incidence:
    """Events and person-time, in all and by groups. per: the person-time that rates are of."""

    counted: PersonTime
    by: tuple[str, ...] = ()
    per: float = 1.0

    name: ClassVar[str] = "incidence"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "dominance", "p percent", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "events": NAME,
            "time": NAME,
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS), {"type": "null"}]},
            "per": PER,
        },
        "required": ["events", "time"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Incidence:
        """From arguments that fit the schema."""
        counted = PersonTime(arguments["events"], arguments["time"])
        return cls(counted, unpack(arguments.get("by")), positive(arguments.get("per", 1), f"{field}.per"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return self.counted.written(self.by, self.per)

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({self.counted.events, self.counted.time, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.counted.check(variables, self.name)
        check_dimensions(self.by, variables, f"{self.name}.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (Step("sums", {}, self.counted.shapes(self._tables(variables))),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return Partial(self.counted.sums(population, self._tables(population.variables)))

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        return self.counted.support(population, self._tables(population.variables), self.variables())

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("sums")
        rows: list[tuple[Cell, ...]] = []
        for prefix, table in self._tables(variables).items():
            index = [(EVERYONE,) * len(self.by)] if prefix == "all" else table.index()
            numbers = zip(shown(gathered, f"{prefix}_events"), shown(gathered, f"{prefix}_time"), strict=True)
            rows += [
                (*labels, *rate_of(events, time, self.per))
                for labels, (events, time) in zip(index, numbers, strict=True)
            ]
        return Estimate(self.by, _COLUMNS, tuple(rows), {"per": self.per})

    def _tables(self, variables: Variables) -> dict[str, Table]:
        groups = {"group": Table.of(self.by, variables)} if self.by else {}
        return {"all": Table.of((), variables), **groups}


def positive(number: float, field: str) -> float:
    """The number; PlanError unless it is above zero."""
    if not number > 0:
        raise PlanError("This is not above zero.", remedy="Give a number above zero, e.g. 1000.", field=field)
    return float(number)

"""Indirectly standardised ratios: events beside those that reference rates lead one to expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.statistics import standard
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.incidence import PER, positive
from sojourn.statistics.moments import contributions_of, ends_of, summed
from sojourn.statistics.person_time import PersonTime, poisson_interval, shown

_COLUMNS = ("events", "expected", "ratio", "ci_low", "ci_high")
_SUPPRESSED = "A site may not show a group, or a stratum of it, so that no ratio is computed from what is left."


@dataclass(frozen=True)
class IndirectStandardisation:
    """Each site sums its own expected events; no stratum leaves it. per: the person-time that the rates are of."""

    counted: PersonTime
    strata: tuple[str, ...]
    rates: standard.Standard
    by: tuple[str, ...] = ()
    per: float = 1.0

    name: ClassVar[str] = "indirect_standardisation"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "dominance", "p percent", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "events": NAME,
            "time": NAME,
            "strata": standard.strata_of(MOST_DIMENSIONS - 1),
            "rates": standard.schema("rate"),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS), {"type": "null"}]},
            "per": PER,
        },
        "required": ["events", "time", "strata", "rates"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> IndirectStandardisation:
        """From arguments that fit the schema; PlanError where a number does not."""
        rates = standard.read(arguments["rates"], "rate", f"{field}.rates")
        per = positive(arguments.get("per", 1), f"{field}.per")
        counted = PersonTime(arguments["events"], arguments["time"])
        return cls(counted, tuple(arguments["strata"]), rates, unpack(arguments.get("by")), per)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        declared = standard.written(self.rates, "rate")
        return self.counted.written(self.by, self.per, strata=list(self.strata), rates=declared)

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({self.counted.events, self.counted.time, *self.strata, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.counted.check(variables, self.name)
        check_dimensions(self.by, variables, f"{self.name}.by")
        check_dimensions(self.strata, variables, f"{self.name}.strata")
        self._rates(variables)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        shape = Table.of(self.by, variables).shape
        return (Step("sums", {}, {"events": shape, "expected": shape}),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        table = Table.of(self.by, population.variables)
        events, time = self.counted.values(population)
        rates = self._rates(population.variables)[Table.of(self.strata, population.variables).places(population)]
        places = table.places(population)
        return Partial({"events": summed(events, places, table), "expected": summed(rates * time, places, table)})

    def support(self, population: Population) -> Support:
        """See `Statistic`.

        Rates are the plan's own, so that the expected events can tell each stratum's person-time apart by its digits:
        each stratum is judged as if it left.
        """
        table = Table.of(self.by, population.variables)
        places, everyone = table.places(population), table.persons(population)
        measures, empty = self.variables(), table.empty(population.variables)
        cells = [Cells(("events", "expected"), table.shape, everyone, table.dimensions, measures, empty)]
        cells += self.counted.with_events(("events",), population, table)
        contributions = [contributions_of(("events",), self.counted.events, places, population, table)]
        for part in self._strata(population):
            here, time = table.places(part), part.numeric(self.counted.time)
            cells.append(Cells(("expected",), table.shape, table.persons(part), table.dimensions, measures, empty))
            cells += ends_of(("expected",), time, here, part, table)
            contributions.append(contributions_of(("expected",), self.counted.time, here, part, table))
        everybody = persons_of(population.persons)
        return Support(everybody, measures, cells=tuple(cells), contributions=tuple(contributions))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("sums")
        labels = Table.of(self.by, variables).index() if self.by else [()]
        numbers = zip(shown(gathered, "events"), shown(gathered, "expected"), strict=True)
        rows = tuple((*label, *_ratio(*pair)) for label, pair in zip(labels, numbers, strict=True))
        hidden = any(isinstance(cell, Suppressed) for row in rows for cell in row)
        return Estimate(self.by, _COLUMNS, rows, {"per": self.per}, warnings=(_SUPPRESSED,) if hidden else ())

    def _rates(self, variables: Variables) -> NDArray[np.float64]:
        return standard.numbers(self.rates, self.strata, variables, f"{self.name}.rates") / self.per

    def _strata(self, population: Population) -> Iterator[Population]:
        """The rows of each stratum."""
        strata = Table.of(self.strata, population.variables)
        places = strata.places(population)
        for place in range(strata.size):
            kept = places == place
            columns = {name: values[kept] for name, values in population.columns.items()}
            yield replace(population, columns=columns, persons=population.persons[kept])


def _ratio(events: float | None, expected: float | None) -> tuple[Cell, ...]:
    """The values of `_COLUMNS`, with the exact interval of the events; None where none are expected."""
    if events is None or expected is None:
        said = (Suppressed() if events is None else int(events), Suppressed() if expected is None else expected)
        return (*said, *(Suppressed(),) * 3)
    if not expected > 0:
        return (int(events), expected, None, None, None)
    return (int(events), expected, *(number / expected for number in (events, *poisson_interval(events))))

"""Directly standardised rates: the rate that a standard population would have with these strata's rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import PlanError
from sojourn.statistics import standard
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, names, unpack
from sojourn.statistics.incidence import PER, positive
from sojourn.statistics.person_time import PersonTime, shown

_COLUMNS = ("events", "time", "crude", "rate", "std_error", "ci_low", "ci_high")
_SUPPRESSED = "A site may not show a stratum, so that its group's rate is not computed from what is left."
_NOBODY = "A stratum of the standard holds no person-time, so that its group has no standardised rate."
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class DirectStandardisation:
    """Events and person-time of each group and stratum, weighted by the standard's persons in the stratum."""

    counted: PersonTime
    strata: tuple[str, ...]
    weights: standard.Standard
    by: tuple[str, ...] = ()
    per: float = 1.0

    name: ClassVar[str] = "direct_standardisation"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "dominance", "p percent", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "events": NAME,
            "time": NAME,
            "strata": standard.strata_of(MOST_DIMENSIONS - 1),
            "standard": standard.schema("weight"),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS - 1), {"type": "null"}]},
            "per": PER,
        },
        "required": ["events", "time", "strata", "standard"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> DirectStandardisation:
        """From arguments that fit the schema; PlanError where a number or the dimensions do not."""
        weights = standard.read(arguments["standard"], "weight", f"{field}.standard")
        strata, by = tuple(arguments["strata"]), unpack(arguments.get("by"))
        if len(strata) + len(by) > MOST_DIMENSIONS:
            remedy = f"Use at most {MOST_DIMENSIONS} columns in all for strata and groups."
            raise PlanError("The table has too many dimensions.", remedy=remedy, field=f"{field}.by")
        per = positive(arguments.get("per", 1), f"{field}.per")
        return cls(PersonTime(arguments["events"], arguments["time"]), strata, weights, by, per)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        declared = standard.written(self.weights, "weight")
        return self.counted.written(self.by, self.per, strata=list(self.strata), standard=declared)

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({self.counted.events, self.counted.time, *self.strata, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.counted.check(variables, self.name)
        check_dimensions((*self.by, *self.strata), variables, f"{self.name}.strata")
        standard.numbers(self.weights, self.strata, variables, f"{self.name}.standard")

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
        weights = standard.numbers(self.weights, self.strata, variables, f"{self.name}.standard")
        events, time = shown(gathered, "stratum_events"), shown(gathered, "stratum_time")
        rows: list[tuple[Cell, ...]] = []
        warnings: dict[str, None] = {}
        groups = Table.of(self.by, variables).index() if self.by else [()]
        for place, labels in enumerate(groups):
            part = slice(place * len(weights), (place + 1) * len(weights))
            values, warning = standardised(events[part], time[part], weights, self.per)
            rows.append((*labels, *values))
            warnings |= {warning: None} if warning else {}
        return Estimate(self.by, _COLUMNS, tuple(rows), {"per": self.per}, warnings=tuple(warnings))

    def _tables(self, variables: Variables) -> dict[str, Table]:
        return {"stratum": Table.of((*self.by, *self.strata), variables)}


def standardised(
    events: Sequence[float | None], time: Sequence[float | None], weights: NDArray[np.float64], per: float
) -> tuple[tuple[Cell, ...], str]:
    """The values of `_COLUMNS` of one group's strata, and what there is to say.

    The interval is that of M. P. Fay, E. J. Feuer, Statistics in Medicine 16, 1997: gamma, for rare events too.
    """
    if None in events or None in time:
        return (Suppressed(),) * len(_COLUMNS), _SUPPRESSED
    d, t = np.array(events, dtype=np.float64), np.array(time, dtype=np.float64)
    total, all_time = int(d.sum()), float(t.sum())
    crude = per * total / all_time if all_time > 0 else None
    if (t[weights > 0] <= 0).any():
        return (total, all_time, crude, *(None,) * 4), _NOBODY
    share = np.divide(weights, weights.sum() * t, out=np.zeros(len(t)), where=weights > 0)
    rate, variance, most = float(share @ d), float(share**2 @ d), float(share.max())
    low = float(scipy.special.gammaincinv(rate**2 / variance, _LOW)) * variance / rate if rate else 0.0
    spread = variance + most**2
    high = float(scipy.special.gammaincinv((rate + most) ** 2 / spread, _HIGH)) * spread / (rate + most)
    values = (per * number for number in (rate, math.sqrt(variance), low, high))
    return (total, all_time, crude, *values), ""

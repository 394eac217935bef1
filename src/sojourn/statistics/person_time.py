"""Events and person-time in the cells of tables, the evidence behind them, and exact Poisson intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import declared
from sojourn.analysis.partial import Array
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.statistic import Cell, Gathered, Suppressed
from sojourn.analysis.support import Cells, Contributions, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import Kind, Variables
from sojourn.errors import PlanError, SiteRefused
from sojourn.statistics.argument import check_number
from sojourn.statistics.moments import Shapes, contributions_of, ends_of, summed

_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class PersonTime:
    """events: a boolean, or a number of events of each row; time: a number, how long each row was watched."""

    events: str
    time: str

    def check(self, variables: Variables, field: str) -> None:
        """PlanError where a column is of the wrong kind or may be below zero."""
        check_number(self.events, variables, f"{field}.events")
        check_number(self.time, variables, f"{field}.time", booleans=False)
        for word, name in (("events", self.events), ("time", self.time)):
            low = declared(name, variables, f"{field}.{word}").low
            if low is not None and low < 0:
                remedy = "Use a column that is declared from 0."
                raise PlanError(f"`{name}` may be below zero.", remedy=remedy, field=f"{field}.{word}")

    def shapes(self, tables: Mapping[str, Table]) -> Shapes:
        """Of `sums`."""
        return {f"{prefix}_{word}": table.shape for prefix, table in tables.items() for word in ("events", "time")}

    def sums(self, population: Population, tables: Mapping[str, Table]) -> dict[str, Array]:
        """Events and person-time of each cell. SiteRefused("dictionary") where one is no number of events or time."""
        events, time = self.values(population)
        arrays: dict[str, Array] = {}
        for prefix, table in tables.items():
            places = table.places(population)
            arrays[f"{prefix}_events"] = summed(events, places, table)
            arrays[f"{prefix}_time"] = summed(time, places, table)
        return arrays

    def values(self, population: Population) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Events and time of each row."""
        events, time = population.numeric(self.events), population.numeric(self.time)
        if not (events >= 0).all() or not (events == np.floor(events)).all() or not (time >= 0).all():
            raise SiteRefused("dictionary")
        return events, time

    def written(self, by: tuple[str, ...], per: float, **more: Any) -> dict[str, Any]:
        """As it stands in a plan, with the groups and the person-time that rates are of."""
        given: dict[str, Any] = {"events": self.events, "time": self.time, **more}
        given |= {"by": list(by)} if by else {}
        return given | ({"per": per} if per != 1 else {})

    def support(self, population: Population, tables: Mapping[str, Table], measures: tuple[str, ...]) -> Support:
        """The persons in each cell, with events and without, and what each gives to the sums."""
        cells: list[Cells] = []
        contributions: list[Contributions] = []
        for prefix, table in tables.items():
            events, time = (f"{prefix}_events",), (f"{prefix}_time",)
            empty = table.empty(population.variables)
            everyone = table.persons(population)
            cells.append(Cells((*events, *time), table.shape, everyone, table.dimensions, measures, empty))
            cells += self.with_events(events, population, table)
            places = table.places(population)
            cells += ends_of(time, population.numeric(self.time), places, population, table)
            contributions.append(contributions_of(events, self.events, places, population, table))
            contributions.append(contributions_of(time, self.time, places, population, table))
        return Support(persons_of(population.persons), measures, tuple(cells), contributions=tuple(contributions))

    def with_events(self, output: tuple[str, ...], population: Population, table: Table) -> list[Cells]:
        """The persons of each cell with events and those without.

        Where nobody is without one, it is judged as if one person were, whether or not the site shows zeros. A
        boolean's cells are found where they have few values, and joint tests know its levels.
        """
        values, places = population.numeric(self.events), table.places(population)
        found = ends_of(output, values, places, population, table)
        if population.variables[self.events].kind is Kind.BOOLEAN:
            return found
        some = values > 0
        eventful = persons_by_place(population.persons[some], places[some], table.size)
        rest = tuple(everyone - those for everyone, those in zip(table.persons(population), eventful, strict=True))
        empty = table.empty(population.variables)
        both = [Cells(output, table.shape, persons, table.dimensions, empty=empty) for persons in (eventful, rest)]
        lone = tuple(none or those[:1] for none, those in zip(rest, eventful, strict=True))
        alike = [] if lone == rest else [Cells(output, table.shape, lone, table.dimensions, empty=empty)]
        return [*both, *alike, *found]


def shown(gathered: Gathered, array: str) -> list[float | None]:
    """The numbers of an array in C order; None where a site hid one."""
    numbers, hidden = gathered.total[array].ravel().tolist(), gathered.total.hidden(array).ravel().tolist()
    return [None if gone else float(number) for number, gone in zip(numbers, hidden, strict=True)]


def poisson_interval(events: float) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean (F. Garwood, Biometrika 28, 1936)."""
    low = float(scipy.special.gammaincinv(events, _LOW)) if events else 0.0
    return low, float(scipy.special.gammaincinv(events + 1, _HIGH))


def rate_of(events: float | None, time: float | None, per: float) -> tuple[Cell, ...]:
    """Events, time, rate and its ends; suppressed where either number is, None without person-time."""
    known = events is not None and time is not None
    said: tuple[Cell, Cell] = (_whole(events), Suppressed() if time is None else time)
    if not known or events is None or time is None:
        return (*said, *(Suppressed(),) * 3)
    if not time > 0:
        return (*said, None, None, None)
    ends = poisson_interval(events)
    return (*said, *(per * number / time for number in (events, *ends)))


def _whole(events: float | None) -> Cell:
    return Suppressed() if events is None else int(events)

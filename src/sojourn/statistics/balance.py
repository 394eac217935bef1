"""Balance of two groups: standardised mean differences, ready for a love plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sojourn.analysis.matrix import declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Contributions, Support
from sojourn.analysis.table import labels
from sojourn.analysis.variable import Kind, Variable, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME, check_dimensions
from sojourn.statistics.by_group import SUPPRESSED, ByGroup, Groups, Sites, spread_known, spread_note, whole
from sojourn.statistics.moments import Group, Moments
from sojourn.statistics.weighting import Weighting, effective_rows

_COLUMNS = ("first", "second", "smd", "variance_ratio")
_WEIGHTED = ("weighted_first", "weighted_second", "weighted_smd")
MOST_LEVELS = 500
NO_GROUPS = (
    "{} may not show how many rows each group of {} has: a group is small, or a level of a category (or a value of a "
    "boolean) is so rare in one that it would follow from the other numbers. Every row of the table needs these, so "
    "that none is computed. Merge rare levels, or ask for their column in another balance."
)
FEW_WEIGHTS = (
    "A site may not show weighted sums of some rows: the weights `{}` leave too few persons, or one or two of them are "
    "most of a sum, or all of a group have the same weight. Truncate the weights, or merge groups."
)


@dataclass(frozen=True)
class Balance(ByGroup):
    """Means of the two groups and their difference in standard deviations; a category is one row a level.

    weights: a column of weights, whose means stand beside the others, over the same standard deviations.
    """

    weights: str | None = None

    name: ClassVar[str] = "balance"
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {**ByGroup.properties, "weights": {"anyOf": [NAME, {"type": "null"}]}},
        "required": ["columns", "by"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Balance:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), arguments["by"], arguments.get("weights"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        weights = {} if self.weights is None else {"weights": self.weights}
        return {"columns": list(self.columns), "by": self.by, **weights}

    @property
    def clear_only(self) -> str:
        """Why a masked plan has no weighted one."""
        return "" if self.weights is None else "by site"

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*super().variables(), *([self.weights] if self.weights else [])}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; PlanError unless there are two groups, and of too many levels."""
        self.check_groups(variables)
        if len(labels(variables[self.by])) != 2:
            remedy = "Merge levels in the plan so that two are left."
            raise PlanError(f"`{self.by}` does not have two levels.", remedy=remedy, field="balance.by")
        for column in self.columns:
            if declared(column, variables, "balance.columns").kind is Kind.CATEGORY:
                check_dimensions((column,), variables, "balance.columns")
        if len(self._rows(variables)) > MOST_LEVELS:
            remedy = "Ask for fewer columns at once, or merge levels."
            raise PlanError(f"There are more than {MOST_LEVELS} rows.", remedy=remedy, field="balance.columns")
        if self.weights is not None:
            self._check_weights(self.weights, variables)

    def _check_weights(self, weights: str, variables: Variables) -> None:
        variable = declared(weights, variables, "balance.weights")
        if variable.kind is not Kind.NUMBER or (variable.low is not None and variable.low < 0):
            remedy = "Use a column of numbers that are declared from 0."
            raise PlanError("Weights are numbers that are not negative.", remedy=remedy, field="balance.weights")
        if weights in self.columns:
            remedy = "Leave it out of the columns."
            raise PlanError(f"`{weights}` is the weight.", remedy=remedy, field="balance.columns")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        seen = self._declared(variables)
        sums, squares = super().steps(seen)
        if self.weights is None:
            return sums, squares
        more = Weighting(self.weights, self.moments(seen)).shapes()
        return sums, replace(squares, partial={**squares.partial, **more})

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        indicated = self._indicated(population)
        found = super().local(step, indicated, broadcast)
        if self.weights is None or step != self.squared:
            return found
        more = Weighting(self.weights, self.moments(indicated.variables)).sums(indicated, broadcast)
        return Partial({**found.arrays, **more})

    def support(self, population: Population) -> Support:
        """See `Statistic`; of each level the persons who have it and those who have not."""
        indicated = self._indicated(population)
        support = super().support(indicated)
        if self.weights is None:
            return support
        return Weighting(self.weights, self.moments(indicated.variables)).evidence(support, indicated)

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`; a level's squares follow from its share."""
        return super().distances(self._indicated(population), broadcast)

    def moments(self, variables: Variables) -> Moments:
        """Of the columns, categories as one indicator a level, and of the weights."""
        weights = (self.weights,) if self.weights is not None else ()
        return replace(super().moments(variables), columns=(*self._rows(variables), *weights))

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        seen = self._declared(variables)
        sums, squares = yield from self.trips(seen)
        found, hiding = self.told(seen, sums, squares)
        weighting = None if self.weights is None else Weighting(self.weights, self.moments(seen))
        rows: list[tuple[Cell, ...]] = []
        hidden: dict[str, None] = {}
        spread: dict[str, Sites] = {}
        for label, column in self._rows(variables).items():
            groups, two_valued = found[label], seen[label].kind is Kind.BOOLEAN
            rows.append((label, *_differing(groups, two_valued=two_valued)))
            if weighting is not None:
                rows[-1] += _weighed(groups, weighting.means(sums, squares, label), two_valued=two_valued)
            hidden |= {} if whole(groups) else {column: None}
            if not spread_known(whole(groups)):
                spread[column] = tuple(sorted({*spread.get(column, ()), *hiding[label]}))
        levels = labels(variables[self.by])
        facts: dict[str, Any] = {"difference": f"{levels[1]} - {levels[0]}", "groups": list(map(str, levels))}
        if shown := next((pair for pair in map(whole, found.values()) if pair), None):
            facts["rows"] = [group.n for group in shown]
        if sums.total.hidden("group_n").any():
            warnings: tuple[str, ...] = (self._no_groups(sums),)
        else:
            warnings = tuple(SUPPRESSED.format(column) for column in hidden)
        warnings += tuple(spread_note(column, sites) for column, sites in spread.items())
        columns: tuple[str, ...] = _COLUMNS
        if self.weights is not None:
            columns += _WEIGHTED
            facts |= {"weights": self.weights, "effective": list(map(effective_rows, found[self.weights]))}
            if any(isinstance(row[-1], Suppressed) and not isinstance(row[1], Suppressed) for row in rows):
                warnings += (FEW_WEIGHTS.format(self.weights),)
        return Estimate(("variable",), columns, tuple(rows), facts, warnings=warnings)

    def _no_groups(self, sums: Gathered) -> str:
        """Why every row is suppressed. Which level is rare is not among the releases, and may not be."""
        sites = sorted(site for site, part in sums.by_site.items() if part.hidden("group_n").any())
        return NO_GROUPS.format(", ".join(sites) or "A site", self.by)

    def _rows(self, variables: Variables) -> dict[str, str]:
        """Each row's label and the column that it is of."""
        return dict(_labelled(self.columns, variables))

    def _declared(self, variables: Variables) -> Variables:
        """The variables, with a boolean for each level of a category."""
        made = {label: Variable(Kind.BOOLEAN) for label, column in self._rows(variables).items() if label != column}
        return {**variables, **made}

    def _indicated(self, population: Population) -> Population:
        """The population with a column for each level of a category."""
        columns = dict(population.columns)
        for column in self.columns:
            variable = population.variables[column]
            if variable.kind is Kind.CATEGORY:
                for place, level in enumerate(variable.levels):
                    columns[_label(column, level)] = (population.column(column) == place).astype(np.int8)
        return replace(population, variables=self._declared(population.variables), columns=columns)


def _labelled(columns: tuple[str, ...], variables: Variables) -> Iterator[tuple[str, str]]:
    for column in columns:
        variable = variables[column]
        if variable.kind is Kind.CATEGORY:
            yield from ((_label(column, level), column) for level in variable.levels)
        else:
            yield column, column


def _label(column: str, level: str) -> str:
    return f"{column}[{level}]"


def _differing(groups: Groups, *, two_valued: bool) -> tuple[Cell, ...]:
    """The values of `_COLUMNS`: the difference is over the root of the groups' mean variance."""
    if not whole(groups):
        return (Suppressed(),) * len(_COLUMNS)
    first, second = whole(groups)
    if not (two_valued or spread_known([first, second])):
        return (first.mean, second.mean, Suppressed(), Suppressed())
    spreads = [_variance(group, two_valued) for group in (first, second)]
    if spreads[0] is None or spreads[1] is None:
        return (first.mean, second.mean, None, None)
    apart = second.above(first.centre) - first.shift
    ratio = spreads[1] / spreads[0] if spreads[0] > 0 and not two_valued else None
    return first.mean, second.mean, _standardised(apart, spreads), ratio


def _weighed(groups: Groups, means: list[float | None], *, two_valued: bool) -> tuple[Cell, ...]:
    """The values of `_WEIGHTED`, from how far the weighted means are above the centres of the groups."""
    if not whole(groups) or means[0] is None or means[1] is None:
        return (Suppressed(),) * len(_WEIGHTED)
    first, second = whole(groups)
    both = first.centre + means[0], second.centre + means[1]
    if not (two_valued or spread_known([first, second])):
        return (*both, Suppressed())
    apart = (second.centre - first.centre) + (means[1] - means[0])
    return (*both, _standardised(apart, [_variance(group, two_valued) for group in (first, second)]))


def _standardised(apart: float, spreads: list[float | None]) -> float | None:
    """Over the root of the mean variance; None where nothing varies, or of a single row."""
    if spreads[0] is None or spreads[1] is None or not spreads[0] + spreads[1] > 0:
        return None
    return apart / math.sqrt((spreads[0] + spreads[1]) / 2)


def _variance(group: Group, two_valued: bool) -> float | None:
    """Of a share p (1 - p), of a number that with n - 1."""
    if not two_valued or group.mean is None:
        return group.variance
    return group.mean * (1 - group.mean)

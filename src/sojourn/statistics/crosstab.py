"""Contingency tables of persons with chi-squared and Fisher's exact test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Step
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.statistics.argument import MOST_DIMENSIONS, check_dimensions, names
from sojourn.statistics.cells import counts
from sojourn.statistics.count import cells_of, count_persons, counting

_SUPPRESSED = "A cell is suppressed, so margins and tests, which would reveal it, are not computed."
_NOISY = "A site's counts hold noise, which these tests do not know of, so margins and tests are not computed."
_EMPTY = "A dimension has fewer than two levels with persons, so there is nothing to test."


@dataclass(frozen=True)
class Crosstab:
    """Distinct persons of each cell of two or three columns, margins, and tests of their independence."""

    columns: tuple[str, ...]

    name: ClassVar[str] = "crosstab"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "class disclosure", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"columns": names(2, MOST_DIMENSIONS)},
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Crosstab:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"columns": list(self.columns)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted(set(self.columns) - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        check_dimensions(self.columns, variables, "crosstab.columns")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (counting(Table.of(self.columns, variables)),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return count_persons(Table.of(self.columns, population.variables), population)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        table = Table.of(self.columns, population.variables)
        return Support(persons_of(population.persons), self.variables(), (cells_of(table, population),))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        table = Table.of(self.columns, variables)
        rows = tuple((*labels, n) for labels, n in zip(table.index(), counts(gathered), strict=True))
        facts: dict[str, Any] = {}
        if gathered.total.hidden("count").any():
            warning = _SUPPRESSED
        elif gathered.noise:
            warning = _NOISY
        else:
            facts, warning = _tests(gathered.total["count"].astype(np.int64), table)
        return Estimate(self.columns, ("n",), rows, facts, warnings=(warning,) if warning else ())


def _tests(observed: NDArray[np.int64], table: Table) -> tuple[dict[str, Any], str]:
    """Margins and tests of a complete table, and a warning where there is nothing to test."""
    facts: dict[str, Any] = {"n": int(observed.sum()), "margins": _margins(observed, table)}
    for axis in range(observed.ndim):  # a level without persons has no expected count
        others = tuple(other for other in range(observed.ndim) if other != axis)
        observed = np.compress(observed.sum(axis=others) > 0, observed, axis=axis)
    if min(observed.shape) < 2:
        return facts, _EMPTY
    from scipy import stats  # slow to load, and needed by no site's local part

    facts["chi_squared"] = _chi_squared(stats.chi2_contingency(observed, correction=False))
    if observed.shape == (2, 2):
        facts["chi_squared_yates"] = _chi_squared(stats.chi2_contingency(observed, correction=True))
        facts["fisher"] = {"odds_ratio": _odds_ratio(observed), "p": float(stats.fisher_exact(observed).pvalue)}
    return facts, ""


def _chi_squared(test: Any) -> dict[str, float | int]:
    return {"statistic": float(test.statistic), "df": int(test.dof), "p": float(test.pvalue)}


def _odds_ratio(observed: NDArray[np.int64]) -> float | None:
    """The sample odds ratio; None where it is infinite."""
    (a, b), (c, d) = observed.tolist()
    return a * d / (b * c) if b * c else None


def _margins(observed: NDArray[np.int64], table: Table) -> dict[str, dict[str, int]]:
    """Sums of the cells over all other dimensions."""
    margins = {}
    for axis, (name, levels) in enumerate(zip(table.dimensions, table.labels, strict=True)):
        sums = observed.sum(axis=tuple(other for other in range(observed.ndim) if other != axis))
        margins[name] = {str(level): int(n) for level, n in zip(levels, sums, strict=True)}
    return margins

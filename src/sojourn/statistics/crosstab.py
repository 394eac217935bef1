"""Contingency tables of persons with chi-squared and Fisher's exact test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.fisher import fisher
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Gathered, Step
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.statistics.argument import MOST_DIMENSIONS, check_dimensions, names
from sojourn.statistics.cells import counts
from sojourn.statistics.count import cells_of, count_persons

_SUPPRESSED = "A cell is suppressed, so that tests are not computed from what is left."
_NOISY = "A site's counts hold noise, which these tests do not know of, so margins and tests are not computed."
_EMPTY = "A dimension has fewer than two levels with persons, so there is nothing to test."

_DRAWN = (
    "Fisher's p is approximate: there are too many tables of these margins, so that {:,} random ones stand for them."
)


@dataclass(frozen=True)
class Crosstab:
    """Distinct persons of each cell of two or three columns, and of each level, and tests of their independence.

    The margins leave as tables of their own, which the audit of the cells knows of: so they show where cells do not.
    """

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
        margins = {margin_of(name): table.shape for name, table in self._margins(variables).items()}
        return (Step("count", {}, {"count": Table.of(self.columns, variables).shape, **margins}),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        margins = {
            margin_of(name): count_persons(table, population)["count"]
            for name, table in self._margins(population.variables).items()
        }
        cells = count_persons(Table.of(self.columns, population.variables), population)["count"]
        return Partial({"count": cells, **margins})

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        cells = [cells_of(Table.of(self.columns, population.variables), population)]
        for name, table in self._margins(population.variables).items():
            cells.append(replace(cells_of(table, population), output=(margin_of(name),)))
        return Support(persons_of(population.persons), self.variables(), tuple(cells))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        table = Table.of(self.columns, variables)
        rows = tuple((*labels, n) for labels, n in zip(table.index(), counts(gathered), strict=True))
        if gathered.noise:
            return Estimate(self.columns, ("n",), rows, {}, warnings=(_NOISY,))
        facts = self._totals(gathered, variables)
        if gathered.total.hidden("count").any():
            return Estimate(self.columns, ("n",), rows, facts, warnings=(_SUPPRESSED,))
        tests, *warnings = _tests(gathered.total["count"].astype(np.int64))
        return Estimate(self.columns, ("n",), rows, facts | tests, warnings=tuple(warnings))

    def _margins(self, variables: Variables) -> dict[str, Table]:
        return {name: Table.of((name,), variables) for name in self.columns}

    def _totals(self, gathered: Gathered, variables: Variables) -> dict[str, Any]:
        """The persons of each level, and of all where a column shows all its levels."""
        margins = {name: counts(gathered, margin_of(name)) for name in self.columns}
        numbers = {name: [cell for cell in cells if isinstance(cell, int)] for name, cells in margins.items()}
        whole = [sum(shown) for name, shown in numbers.items() if len(shown) == len(margins[name])]
        said = {
            name: {str(labels[0]): n for labels, n in zip(table.index(), margins[name], strict=True)}
            for name, table in self._margins(variables).items()
        }
        return {**({"n": whole[0]} if whole else {}), "margins": said}


def margin_of(column: str) -> str:
    """The array of the persons of each level of a column."""
    return f"margin.{column}"


def _tests(observed: NDArray[np.int64]) -> tuple[Any, ...]:
    """Tests of a complete table, and warnings: that there is nothing to test, or that a p is estimated."""
    facts: dict[str, Any] = {}
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
    elif observed.ndim == 2:
        tested = fisher(observed)
        facts["fisher"] = tested.facts()
        if tested.tables:
            return facts, _DRAWN.format(tested.tables)
    return (facts,)


def _chi_squared(test: Any) -> dict[str, float | int]:
    return {"statistic": float(test.statistic), "df": int(test.dof), "p": float(test.pvalue)}


def _odds_ratio(observed: NDArray[np.int64]) -> float | None:
    """The sample odds ratio; None where it is infinite."""
    (a, b), (c, d) = observed.tolist()
    return a * d / (b * c) if b * c else None

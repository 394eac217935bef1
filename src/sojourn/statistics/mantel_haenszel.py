"""Mantel-Haenszel estimates over strata: odds ratio, risk ratio, risk difference, and tests of them.

The hub computes from the table that leaves. The sums over strata of which these estimates are made would be fewer
numbers, yet tell as much: their fractions have the sizes of the strata as denominators, and small strata can be read
off them (see the manual's page).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table, labels
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME, check_dimensions, names, unpack
from sojourn.statistics.count import cells_of, count_persons, counting

Vector = NDArray[np.float64]
MEASURES = ("odds ratio", "risk ratio", "risk difference")
_COLUMNS = ("value", "std_error", "ci_low", "ci_high")
_SUPPRESSED = "A cell of a stratum is suppressed, so that nothing is computed from the strata that are left."
_NOTHING = "No stratum has persons with and without the exposure and with and without the outcome."


@dataclass(frozen=True)
class MantelHaenszel:
    """Outcome by exposure (the second level against the first) in each stratum."""

    outcome: str
    exposure: str
    strata: tuple[str, ...]

    name: ClassVar[str] = "mantel_haenszel"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "class disclosure", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"outcome": NAME, "exposure": NAME, "strata": {"anyOf": [NAME, names(1, 2)]}},
        "required": ["outcome", "exposure", "strata"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> MantelHaenszel:
        """From arguments that fit the schema."""
        strata = unpack(arguments["strata"])
        if len(strata) == 2 and SITE not in strata:
            remedy = "Use one column, and `site` beside it where strata lie within sites."
            raise PlanError("There are two columns of strata.", remedy=remedy, field=f"{field}.strata")
        return cls(arguments["outcome"], arguments["exposure"], strata)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"outcome": self.outcome, "exposure": self.exposure, "strata": list(self.strata)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({self.outcome, self.exposure, *self.strata} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; PlanError unless outcome and exposure have two levels each."""
        for word, column in (("outcome", self.outcome), ("exposure", self.exposure)):
            kind = declared(column, variables, f"mantel_haenszel.{word}").kind
            if kind is Kind.NUMBER or len(labels(variables[column])) != 2:
                remedy = "Use a boolean, or merge levels in the plan so that two are left."
                field = f"mantel_haenszel.{word}"
                raise PlanError(f"`{column}` does not have two levels.", remedy=remedy, field=field)
        check_dimensions((*self.strata, self.exposure, self.outcome), variables, "mantel_haenszel.strata")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (counting(self._table(variables)),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return count_persons(self._table(population.variables), population)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        cells = cells_of(self._table(population.variables), population)
        return Support(persons_of(population.persons), self.variables(), (cells,))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        if gathered.total.hidden("count").any():
            hidden: tuple[Cell, ...] = (Suppressed(),) * len(_COLUMNS)
            return self._estimate((hidden,) * len(MEASURES), {}, _SUPPRESSED)
        every = Tables.of(gathered.total["count"].astype(np.float64))
        informative = every.informative()
        values = (informative.odds_ratio(), informative.risk_ratio(), every.risk_difference())
        facts: dict[str, Any] = {"n": int(every.n.sum()), "strata": len(informative.n)}
        if not len(informative.n):
            return self._estimate(values, facts, _NOTHING)
        facts |= {"cmh": informative.cmh(0.0), "cmh_corrected": informative.cmh(0.5)}
        ratio = values[0][0]
        if isinstance(ratio, float) and ratio > 0 and len(informative.n) > 1:
            facts |= informative.breslow_day(ratio)
        return self._estimate(values, facts)

    def _estimate(self, values: Sequence[tuple[Cell, ...]], facts: Mapping[str, Any], *warnings: str) -> Estimate:
        rows: list[tuple[Cell, ...]] = [(measure, *value) for measure, value in zip(MEASURES, values, strict=True)]
        return Estimate(("measure",), _COLUMNS, tuple(rows), facts, warnings=warnings)

    def _table(self, variables: Variables) -> Table:
        return Table.of((*self.strata, self.exposure, self.outcome), variables)


@dataclass(frozen=True)
class Tables:
    """A two by two table a stratum: exposed with (a) and without the outcome (b), others with (c) and without (d)."""

    a: Vector
    b: Vector
    c: Vector
    d: Vector

    @classmethod
    def of(cls, counts: Vector) -> Tables:
        """From counts of (…, exposure, outcome)."""
        flat = counts.reshape(-1, 2, 2)
        return cls(flat[:, 1, 1], flat[:, 1, 0], flat[:, 0, 1], flat[:, 0, 0])

    @property
    def n(self) -> Vector:
        """Persons of each stratum."""
        return self.a + self.b + self.c + self.d

    @property
    def exposed(self) -> Vector:
        """Those exposed."""
        return self.a + self.b

    @property
    def others(self) -> Vector:
        """Those not exposed."""
        return self.c + self.d

    @property
    def cases(self) -> Vector:
        """Those with the outcome."""
        return self.a + self.c

    def informative(self) -> Tables:
        """The strata of which no margin is zero."""
        kept = (self.exposed > 0) & (self.others > 0) & (self.cases > 0) & (self.n > self.cases)
        return Tables(self.a[kept], self.b[kept], self.c[kept], self.d[kept])

    def odds_ratio(self) -> tuple[Cell, ...]:
        """With the variance of its logarithm of J. Robins, N. Breslow, S. Greenland, Biometrics 42, 1986."""
        r, s = self.a * self.d / self.n, self.b * self.c / self.n
        p, q = (self.a + self.d) / self.n, (self.b + self.c) / self.n
        up, down = float(r.sum()), float(s.sum())
        if not up > 0 or not down > 0:
            return (None,) * len(_COLUMNS)
        variance = (p @ r) / (2 * up**2) + (p @ s + q @ r) / (2 * up * down) + (q @ s) / (2 * down**2)
        return _ratio(up / down, float(variance))

    def risk_ratio(self) -> tuple[Cell, ...]:
        """With the variance of its logarithm of S. Greenland, J. Robins, Biometrics 41, 1985."""
        up, down = float((self.a * self.others / self.n).sum()), float((self.c * self.exposed / self.n).sum())
        if not up > 0 or not down > 0:
            return (None,) * len(_COLUMNS)
        parts = (self.cases * self.exposed * self.others - self.a * self.c * self.n) / self.n**2
        return _ratio(up / down, float(parts.sum()) / (up * down))

    def risk_difference(self) -> tuple[Cell, ...]:
        """With the variance of T. Sato, Biometrics 45, 1989."""
        kept = (self.exposed > 0) & (self.others > 0)
        one = Tables(self.a[kept], self.b[kept], self.c[kept], self.d[kept])
        if not kept.any():
            return (None,) * len(_COLUMNS)
        n, exposed, others = one.n, one.exposed, one.others
        weight = float((exposed * others / n).sum())
        value = float(((one.a * others - one.c * exposed) / n).sum()) / weight
        p = (exposed**2 * one.c - others**2 * one.a + exposed * others * (others - exposed) / 2) / n**2
        q = (one.a * (others - one.c) + one.c * (exposed - one.a)) / (2 * n)
        error = math.sqrt(max(value * float(p.sum()) + float(q.sum()), 0.0)) / weight
        width = _quantile() * error
        return value, error, value - width, value + width

    def cmh(self, correction: float) -> dict[str, float]:
        """The test of Cochran, Mantel and Haenszel that no stratum has an association; one degree of freedom."""
        expected = self.exposed * self.cases / self.n
        variance = expected * self.others * (self.n - self.cases) / (self.n * (self.n - 1))
        apart = max(abs(float((self.a - expected).sum())) - correction, 0.0)
        statistic = apart**2 / float(variance.sum())
        return {"statistic": statistic, "p": float(scipy.special.chdtrc(1, statistic))}

    def breslow_day(self, ratio: float) -> dict[str, dict[str, float]]:
        """Whether all strata have one odds ratio: N. E. Breslow, N. E. Day, 1980; R. E. Tarone, Biometrika 72, 1985."""
        expected = _expected(self, ratio)
        cells = (expected, self.exposed - expected, self.cases - expected, self.others - self.cases + expected)
        apart, variance = self.a - expected, 1 / np.sum([1 / cell for cell in cells], axis=0)
        statistic, freedom = float((apart**2 / variance).sum()), len(self.n) - 1
        corrected = statistic - float(apart.sum()) ** 2 / float(variance.sum())
        tests = (("breslow_day", statistic), ("tarone", corrected))
        return {
            name: {"statistic": value, "df": freedom, "p": float(scipy.special.chdtrc(freedom, value))}
            for name, value in tests
        }


def _expected(tables: Tables, ratio: float) -> Vector:
    """Exposed cases of each stratum that its margins and this odds ratio would give: the root of a quadratic."""
    exposed, cases, rest = tables.exposed, tables.cases, tables.others - tables.cases
    square, line = 1 - ratio, rest + ratio * (exposed + cases)
    if abs(square) < 1e-12:
        return exposed * cases / tables.n
    root = np.sqrt(line**2 + 4 * square * ratio * exposed * cases)
    return np.asarray(2 * ratio * exposed * cases / (line + root))  # the stable form of (root - line) / (2 square)


def _ratio(value: float, variance: float) -> tuple[Cell, ...]:
    """A ratio with the standard error of its logarithm and its interval."""
    error = math.sqrt(max(variance, 0.0))
    width = math.exp(_quantile() * error)
    return value, error, value / width, value * width


def _quantile() -> float:
    return float(scipy.special.ndtri(0.975))

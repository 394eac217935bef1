"""The answer of a generalised linear model: the table on the scale of the raw columns, and the facts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.likelihood import Fit
from sojourn.analysis.matrix import Layout
from sojourn.analysis.statistic import Estimate
from sojourn.analysis.terms import Formula
from sojourn.statistics.coefficients import COLUMNS, standard_errors, table, uncentred
from sojourn.statistics.families import Family

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """The maximum, and what the answer is made of."""

    formula: Formula
    family: Family
    layout: Layout
    centre: Vector
    level: float
    fit: Fit
    n: int
    deviance: float
    used: int

    @property
    def freedom(self) -> int:
        return self.n - self.layout.width

    @property
    def dispersion(self) -> float:
        """As R's `summary`: the mean square of the residuals; of a gamma family Pearson's."""
        if self.family.name == "gamma":
            return float(self.fit.more[0]) / self.freedom
        return self.deviance / self.freedom if self.family.name == "gaussian" else 1.0

    @property
    def unscaled(self) -> Vector:
        """The inverse information of the coefficients, without dispersion."""
        p, dispersed = self.layout.width, self.family.dispersed
        return self.fit.covariance[:p, :p] * (self.n / self.deviance if dispersed else 1.0)

    def estimate(self, covariance: Vector, groups: int | None) -> Estimate:
        """The table on the scale of the raw columns, and the facts. groups: how many clusters there are."""
        family, p, fit = self.family, self.layout.width, self.fit
        dispersed = family.dispersed
        turn = uncentred(self.centre, self.formula.intercept)
        freedom = (self.freedom if groups is None else groups - 1) if dispersed else math.inf
        estimate, error = turn @ fit.coefficients[:p], standard_errors(turn, covariance)
        estimate[:1] += self.level
        log_likelihood, parameters = fit.point.log_likelihood, len(fit.coefficients) + dispersed
        facts: dict[str, Any] = {
            "n": self.n,
            "log_likelihood": log_likelihood,
            "deviance": self.deviance,
            "aic": 2 * parameters - 2 * log_likelihood,
            "dispersion": self.dispersion,
            "df_residual": self.freedom,
            "rounds_used": self.used,
            "newton_decrement": fit.decrement,
        }
        plain = family.link == "identity" and self.formula.intercept and not self.formula.offset
        if family.name == "gaussian" and plain:
            facts["null_deviance"] = self.deviance + _explained(fit, self.deviance / self.n)
        if family.shape:
            theta = float(np.exp(fit.coefficients[-1]))
            facts |= {"theta": theta, "theta_std_error": theta / math.sqrt(fit.more[0])}
        if groups is not None:
            facts["clusters"] = groups
        return Estimate(("term",), COLUMNS, table(self.layout.terms, estimate, error, freedom), facts)


def _explained(fit: Fit, dispersion: float) -> float:
    """The sum of squares that the terms explain beyond the intercept."""
    information = fit.point.information * dispersion
    slopes = fit.coefficients[1:]
    rest = information[1:, 1:] - np.outer(information[1:, 0], information[0, 1:]) / information[0, 0]
    return float(slopes @ rest @ slopes)

"""Rubin's rules: one estimate out of several imputed sets, with what the missing values leave open.

Source: D. B. Rubin, Multiple Imputation for Nonresponse in Surveys, 1987; J. Barnard, D. B. Rubin, Biometrika 86, 1999
(degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_ROUNDING = 1e-20  # of the variance within: what sums in another order leave


@dataclass(frozen=True, eq=False)
class Combined:
    """Of each coefficient: estimate, standard error, degrees of freedom, fraction of missing information.

    between: share of the variance that is between the sets. simulation: the standard error that so few sets leave in
    the estimate, as a share of its own.
    """

    estimate: Vector
    std_error: Vector
    freedom: Vector
    missing_information: Vector
    between: Vector
    simulation: Vector


def combine(estimates: Vector, errors: Vector, complete: float) -> Combined:
    """estimates, errors: (sets, coefficients), two sets at least. complete: degrees of freedom without missing values,

    infinite where the sample is large.
    """
    m = len(estimates)
    if m < 2:
        raise ValueError("one set tells nothing of the variance between sets")
    within, between = (errors**2).mean(axis=0), estimates.var(axis=0, ddof=1)
    between = np.where(between > _ROUNDING * within, between, 0.0)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    with np.errstate(divide="ignore"):
        sets = (m - 1) / share**2
        observed = np.full(share.shape, np.inf)
        if np.isfinite(complete):
            observed = (complete + 1) / (complete + 3) * complete * (1 - share)
        freedom = 1 / (1 / sets + 1 / observed)
    increase = share / (1 - share)
    missing = (increase + 2 / (freedom + 3)) / (1 + increase)
    return Combined(
        estimates.mean(axis=0),
        np.sqrt(total),
        freedom,
        np.where(between > 0, missing, 0.0),
        share,
        np.sqrt(between / m / total),
    )

"""The table of a model's coefficients: standard errors, tests and 95 % intervals."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import Layout
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Gathered
from sojourn.errors import DisclosureRefused

Vector = NDArray[np.float64]
COLUMNS = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high")
Row = tuple[str | float, ...]


def table(terms: tuple[str, ...], estimate: Vector, error: Vector, freedom: float = math.inf) -> tuple[Row, ...]:
    """A row a term. freedom: degrees of freedom of Student's t; infinite for the normal."""
    normal = math.isinf(freedom)
    statistic = estimate / error
    tail = scipy.special.ndtr(-np.abs(statistic)) if normal else scipy.special.stdtr(freedom, -np.abs(statistic))
    width = error * (scipy.special.ndtri(0.975) if normal else scipy.special.stdtrit(freedom, 0.975))
    columns = np.stack([estimate, error, statistic, 2 * tail, estimate - width, estimate + width], axis=1)
    return tuple((term, *row) for term, row in zip(terms, columns.tolist(), strict=True))


def uncentred(centre: Vector, intercept: bool) -> Vector:
    """What turns coefficients of centred columns into those of the raw ones; the intercept is the first."""
    raw = np.eye(len(centre))
    if intercept:
        raw[0] -= centre
    return raw


def standard_errors(turn: Vector, covariance: Vector) -> Vector:
    """Of the coefficients `turn` times those with this covariance."""
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", turn, covariance, turn)))


def centre_of(layout: Layout, intercept: bool, sums: Vector, n: int) -> Vector:
    """The means of the columns; zeros where no intercept would take up the difference."""
    return np.where([bool(column) and intercept for column in layout.columns], sums / n, 0.0)


def whole(gathered: Gathered) -> Partial:
    """The sums of a round; a model with a suppressed number cannot be fitted."""
    if any(mask.any() for mask in gathered.total.suppressed.values()):
        raise DisclosureRefused("minimum frequency")
    return gathered.total


def real(array: NDArray[np.generic]) -> Vector:
    """As float64."""
    return np.asarray(array, dtype=np.float64)

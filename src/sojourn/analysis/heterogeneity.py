"""How much independent studies differ beyond chance: the variance tau² between them, by eight estimators.

All are for a mean that may depend on moderators: y = X b + u + e with Var u = tau² and Var e = v, which are known.
Source: W. Viechtbauer, Journal of Educational and Behavioral Statistics 30, 2005; Statistics in Medicine 26, 2007 (the
interval); R. DerSimonian, R. Kacker, Contemporary Clinical Trials 28, 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
FIXED, DL, PM, REML, ML, SJ, EB, HE, HS = "fixed", "DL", "PM", "REML", "ML", "SJ", "EB", "HE", "HS"
_STEPS = 500
_EXACT = 1e-15  # relative change at which a search ends
_ROUNDING = 1e-12  # of a log-likelihood: less is no fall


@dataclass(frozen=True, eq=False)
class Studies:
    """Estimates of one quantity, their variances (n), and the design (n, q): ones, then a column a moderator."""

    estimates: Vector
    variances: Vector
    design: Vector

    @classmethod
    def of(
        cls, estimates: Sequence[float] | Vector, variances: Sequence[float] | Vector, *moderators: Sequence[float]
    ) -> Studies:
        """ConvergenceError where a number is not finite, a variance is not above zero, or the moderators do not tell

        the studies apart.
        """
        y, v = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
        x = np.stack([np.ones(len(y)), *(np.asarray(column, dtype=np.float64) for column in moderators)], axis=1)
        if not len(y) or y.shape != v.shape or not all(np.isfinite(part).all() for part in (y, v, x)):
            remedy = "Combine studies that have a finite estimate and standard error each."
            raise ConvergenceError("There is nothing to combine, or a number that is not finite.", remedy=remedy)
        if (v <= 0).any():
            remedy = "Leave out studies whose estimate has no sampling error: they would have all the weight."
            raise ConvergenceError("The estimate of a study has no variance.", remedy=remedy)
        if np.linalg.matrix_rank(x) < x.shape[1]:
            remedy = "Use fewer moderators than studies, none of which follows from the others."
            raise ConvergenceError("The moderators do not tell the studies apart.", remedy=remedy)
        return cls(y, v, x)

    @property
    def number(self) -> int:
        """How many studies."""
        return len(self.estimates)

    @property
    def freedom(self) -> int:
        """Studies beyond the coefficients of the design."""
        return self.number - int(self.design.shape[1])

    def without(self, place: int) -> Studies:
        """All but one; ConvergenceError as of `of`."""
        kept = np.arange(self.number) != place
        return Studies.of(self.estimates[kept], self.variances[kept], *self.design[kept, 1:].T)

    def at(self, tau2: float) -> Weighted:
        """The weighted least squares fit under this variance between studies."""
        return Weighted(self, 1 / (self.variances + tau2))


@dataclass(frozen=True, eq=False)
class Weighted:
    """A fit with known weights (n)."""

    studies: Studies
    weights: Vector

    @cached_property
    def covariance(self) -> Vector:
        """(X'WX)^-1."""
        x = self.studies.design
        return np.asarray(np.linalg.inv(x.T @ (x * self.weights[:, None])))

    @cached_property
    def coefficients(self) -> Vector:
        """(X'WX)^-1 X'Wy."""
        return self.covariance @ (self.studies.design.T @ (self.weights * self.studies.estimates))

    @cached_property
    def residuals(self) -> Vector:
        """y - Xb."""
        return self.studies.estimates - self.studies.design @ self.coefficients

    @cached_property
    def spread(self) -> float:
        """Cochran's Q at these weights: y'Py, the weighted sum of squared residuals."""
        return float(self.weights @ self.residuals**2)

    @cached_property
    def projection(self) -> Vector:
        """P = W - WX(X'WX)^-1 X'W, of shape (n, n)."""
        wx = self.studies.design * self.weights[:, None]
        return np.asarray(np.diag(self.weights) - wx @ self.covariance @ wx.T)

    @cached_property
    def bend(self) -> float:
        """y'PPy: how fast Q falls as tau² grows."""
        return float(((self.weights * self.residuals) ** 2).sum())

    def log_likelihood(self, restricted: bool) -> float:
        """Of tau², up to a constant; restricted: after the design's coefficients are integrated out."""
        half = float(np.log(self.weights).sum()) - self.spread
        return (half + float(np.linalg.slogdet(self.covariance)[1]) if restricted else half) / 2


def tau_squared(studies: Studies, method: str) -> float:
    """The variance between studies by a method of `METHODS`; 0 where there are no more studies than coefficients."""
    return max(0.0, METHODS[method](studies)) if studies.freedom > 0 else 0.0


def q_profile(studies: Studies, level: float = 0.95) -> tuple[float, float]:
    """The interval of tau² in which Q is no surprise (Viechtbauer 2007); exact where the estimates are normal."""
    tails = (1 - level) / 2
    high, low = (float(scipy.special.chdtri(studies.freedom, tail)) for tail in (tails, 1 - tails))
    return _spread_of(studies, high), _spread_of(studies, low)


def _spread_of(studies: Studies, target: float) -> float:
    """The tau² at which Q has this value; 0 where it is smaller everywhere.

    Q falls and is convex, so that Newton's steps from 0 never overshoot.
    """
    tau2 = 0.0
    for _ in range(_STEPS):
        at = studies.at(tau2)
        step = (at.spread - target) / at.bend if at.bend > 0 else 0.0
        if step <= _EXACT * tau2:
            break
        tau2 += step
    return tau2


def _der_simonian_laird(studies: Studies) -> float:
    at = studies.at(0.0)
    return (at.spread - studies.freedom) / float(np.trace(at.projection))


def _hedges(studies: Studies) -> float:
    flat = Weighted(studies, np.ones(studies.number))
    return (flat.spread - float(np.diag(flat.projection) @ studies.variances)) / studies.freedom


def _hunter_schmidt(studies: Studies) -> float:
    at = studies.at(0.0)
    return (at.spread - studies.number) / float(at.weights.sum())


def _sidik_jonkman(studies: Studies) -> float:
    first = float(studies.estimates.var())
    return first * studies.at(first).spread / studies.freedom if first > 0 else 0.0


def _paule_mandel(studies: Studies) -> float:
    return _spread_of(studies, studies.freedom)


def _likelihood(studies: Studies, restricted: bool) -> float:
    """Fisher scoring; a step that lowers the likelihood is halved, one below zero ends there."""

    def value(tau2: float) -> float:
        return studies.at(tau2).log_likelihood(restricted)

    tau2 = max(0.0, _der_simonian_laird(studies))
    best = value(tau2)
    for _ in range(_STEPS):
        at = studies.at(tau2)
        matrix = at.projection if restricted else np.diag(at.weights)
        step = (at.bend - float(np.trace(matrix))) / float((matrix * matrix.T).sum())
        step = max(step, -tau2)
        while (found := value(tau2 + step)) < best - _ROUNDING * (abs(best) + 1) and abs(step) > _EXACT * tau2:
            step /= 2
        tau2, best = tau2 + step, max(found, best)
        if abs(step) <= _EXACT * tau2:
            break
    return tau2 if best >= value(0.0) else 0.0


METHODS: dict[str, Callable[[Studies], float]] = {
    FIXED: lambda studies: 0.0,
    DL: _der_simonian_laird,
    PM: _paule_mandel,
    REML: lambda studies: _likelihood(studies, True),
    ML: lambda studies: _likelihood(studies, False),
    SJ: _sidik_jonkman,
    EB: _paule_mandel,  # the empirical Bayes estimator solves the same equation (Viechtbauer et al. 2015)
    HE: _hedges,
    HS: _hunter_schmidt,
}

"""One answer from the estimates of several studies: mean or meta-regression, its intervals, and who weighs how much.

Source: J. Hartung, G. Knapp, Statistics in Medicine 20, 2001; J. P. T. Higgins, S. G. Thompson, D. J. Spiegelhalter,
JRSS A 172, 2009 (prediction); C. Röver, G. Knapp, T. Friede, BMC Medical Research Methodology 15, 2015 (adjusted).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.heterogeneity import FIXED, REML, Studies, Weighted, q_profile, tau_squared

Vector = NDArray[np.float64]
NORMAL, HARTUNG_KNAPP, ADJUSTED = "normal", "hartung_knapp", "hartung_knapp_adjusted"
INTERVALS = (HARTUNG_KNAPP, ADJUSTED, NORMAL)
_TAIL = 0.975


@dataclass(frozen=True, eq=False)
class Synthesis:
    """The studies together. Arrays of the design's coefficients, the mean or the value at moderators of 0 first.

    freedom: of t, None where the interval is normal. tau2_low, tau2_high: 95 %, Q profile. i_squared: percent.
    prediction_low, prediction_high: 95 %, where the true value of a further study is expected; None for fewer than
    three studies, under fixed effects and with moderators. weights: percent. moderated: the Wald test that no moderator
    matters (chi-squared, or F where the interval is of t). r_squared: percent of tau² that the moderators explain.
    """

    studies: Studies
    method: str
    interval: str
    estimate: Vector
    std_error: Vector
    freedom: int | None
    tau2: float
    tau2_low: float | None
    tau2_high: float | None
    q: float
    q_p_value: float | None
    i_squared: float
    h_squared: float | None
    prediction_low: float | None
    prediction_high: float | None
    weights: Vector
    moderated: float | None = None
    moderated_p_value: float | None = None
    r_squared: float | None = None

    @property
    def statistic(self) -> Vector:
        """Estimate over standard error."""
        return self.estimate / self.std_error

    @property
    def p_value(self) -> Vector:
        """Two-sided."""
        size = -np.abs(self.statistic)
        below = scipy.special.ndtr(size) if self.freedom is None else scipy.special.stdtr(self.freedom, size)
        return np.asarray(2 * below)

    @property
    def ci_low(self) -> Vector:
        """Lower end at 95 %."""
        return self.estimate - quantile(self.freedom) * self.std_error

    @property
    def ci_high(self) -> Vector:
        """Upper end at 95 %."""
        return self.estimate + quantile(self.freedom) * self.std_error


def combine(studies: Studies, method: str = REML, interval: str = HARTUNG_KNAPP) -> Synthesis:
    """All studies together. method: of `heterogeneity.METHODS`. interval: of `INTERVALS`; fixed effects are normal.

    As many studies as coefficients: their own estimates with normal intervals, and nothing is said of differences.
    """
    tau2, freedom = tau_squared(studies, method), studies.freedom
    at, alone = studies.at(tau2), studies.at(0.0)
    spread = freedom > 0 and method != FIXED
    squeeze = at.spread / freedom if spread and interval != NORMAL else 1.0
    if interval == ADJUSTED:
        squeeze = max(1.0, squeeze)
    error = np.sqrt(squeeze * np.diag(at.covariance))
    of_t = freedom if spread and interval != NORMAL else None
    low, high = q_profile(studies) if freedom > 0 else (None, None)
    i_squared, h_squared = _inconsistency(alone, tau2, method)
    before, after = _prediction(at, error, of_t, tau2) if spread else (None, None)
    tested = _moderated(at, squeeze, of_t)
    return Synthesis(
        studies=studies,
        method=method,
        interval=interval if spread else NORMAL,
        estimate=at.coefficients,
        std_error=error,
        freedom=of_t,
        tau2=tau2,
        tau2_low=low,
        tau2_high=high,
        q=alone.spread,
        q_p_value=float(scipy.special.chdtrc(freedom, alone.spread)) if freedom > 0 else None,
        i_squared=i_squared,
        h_squared=h_squared,
        prediction_low=before,
        prediction_high=after,
        weights=100 * at.weights / at.weights.sum(),
        moderated=tested[0],
        moderated_p_value=tested[1],
        r_squared=_explained(studies, method, tau2) if spread else None,
    )


def leave_one_out(studies: Studies, method: str = REML, interval: str = HARTUNG_KNAPP) -> tuple[Synthesis, ...]:
    """The combination without each study in turn."""
    return tuple(combine(studies.without(place), method, interval) for place in range(studies.number))


def quantile(freedom: int | None) -> float:
    """Of t or the normal distribution, for 95 % between its two sides."""
    return float(scipy.special.ndtri(_TAIL) if freedom is None else scipy.special.stdtrit(freedom, _TAIL))


def _inconsistency(alone: Weighted, tau2: float, method: str) -> tuple[float, float | None]:
    """I² and H²: tau² beside the typical variance within studies; of fixed effects from Q."""
    freedom = alone.studies.freedom
    if freedom <= 0:
        return 0.0, None
    if method == FIXED:
        return max(0.0, 100 * (1 - freedom / alone.spread)) if alone.spread > 0 else 0.0, alone.spread / freedom
    typical = freedom / float(np.trace(alone.projection))
    return 100 * tau2 / (typical + tau2), tau2 / typical + 1


def _prediction(at: Weighted, error: Vector, of_t: int | None, tau2: float) -> tuple[float | None, float | None]:
    """t of n - 1 where the interval is of t, else of n - 2 (Higgins et al. 2009)."""
    number = at.studies.number
    if number < 3 or len(error) > 1:
        return None, None
    width = quantile(of_t or number - 2) * float(np.sqrt(tau2 + error[0] ** 2))
    return float(at.coefficients[0]) - width, float(at.coefficients[0]) + width


def _moderated(at: Weighted, squeeze: float, of_t: int | None) -> tuple[float | None, float | None]:
    slopes = at.coefficients[1:]
    if not len(slopes):
        return None, None
    wald = float(slopes @ np.linalg.solve(squeeze * at.covariance[1:, 1:], slopes))
    if of_t is None:
        return wald, float(scipy.special.chdtrc(len(slopes), wald))
    return wald / len(slopes), float(scipy.special.fdtrc(len(slopes), of_t, wald / len(slopes)))


def _explained(studies: Studies, method: str, tau2: float) -> float | None:
    """How much smaller tau² is than without moderators, in percent."""
    if studies.design.shape[1] == 1:
        return None
    plain = tau_squared(Studies.of(studies.estimates, studies.variances), method)
    return max(0.0, 100 * (plain - tau2) / plain) if plain > 0 else None

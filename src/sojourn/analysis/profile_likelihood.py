"""One answer from the profile likelihoods of several studies: better than estimates where events are rare.

A study without events in one group has no finite estimate, and still says how likely each value is. The sum of the
log-likelihoods is that of a common value; for values that differ by study it is averaged over a normal distribution.
Source: M. J. Schuemie et al., Statistical Methods in Medical Research 31, 2022; R. M. Royall, Statistical
Evidence, 1997.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
DROP = 1.9207294103470623  # half the 95 % quantile of chi-squared with one degree of freedom
_FINE = 601
_SPREADS = 40


@dataclass(frozen=True)
class Likeliest:
    """The likeliest value with its likelihood interval at 95 %; an end is None where it lies beyond the grid.

    p_value: of the likelihood ratio test of 0, None where 0 lies beyond the grid. tau: standard deviation between
    studies, 0 for a common value.
    """

    estimate: float
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    tau: float = 0.0


def common(grid: Vector, profiles: Vector) -> Likeliest:
    """One value for all studies. grid (m), increasing; profiles (k, m): log-likelihoods, each up to a constant.

    ConvergenceError where the likelihood still rises at an end of the grid.
    """
    fine = np.linspace(grid[0], grid[-1], _FINE)
    return _likeliest(fine, _smooth(grid, _checked(grid, profiles).sum(axis=0), fine))


def random_effects(grid: Vector, profiles: Vector) -> Likeliest:
    """The mean of values that differ by study; its likelihood is at the likeliest tau for each mean.

    By quadrature over the grid, beyond which profiles go on as straight lines; to about a thousandth of its width.
    """
    each = _checked(grid, profiles)
    if len(each) < 2:
        return common(grid, profiles)
    reach = grid[-1] - grid[0]
    wide = np.linspace(grid[0] - reach / 2, grid[-1] + reach / 2, _FINE)
    curves = np.stack([_beyond(grid, one, wide) for one in each])
    means = np.linspace(grid[0], grid[-1], _FINE // 2)
    best, taus = _common_of(wide, curves, means), np.zeros(len(means))
    apart = -((wide[None, :] - means[:, None]) ** 2) / 2
    for tau in np.geomspace(2 * (wide[1] - wide[0]), reach / 2, _SPREADS):
        value = _averaged(apart / tau**2, np.exp(curves))
        taus[value > best], best = tau, np.maximum(best, value)
    found = _likeliest(means, best)
    tau = float(taus[int(best.argmax())])
    return Likeliest(found.estimate, found.ci_low, found.ci_high, found.p_value, tau)


def _checked(grid: Vector, profiles: Vector) -> Vector:
    """Each less its maximum; ConvergenceError for what is no profile."""
    each = np.atleast_2d(np.asarray(profiles, dtype=np.float64))
    if len(grid) < 5 or (np.diff(grid) <= 0).any() or not len(each) or not np.isfinite(each).all():
        remedy = "Give at least five increasing values, and a finite log-likelihood at each."
        raise ConvergenceError("This is no profile likelihood.", remedy=remedy)
    return np.asarray(each - each.max(axis=1, keepdims=True))


def _smooth(grid: Vector, values: Vector, at: Vector) -> Vector:
    return np.asarray(scipy.interpolate.CubicSpline(grid, values)(at))


def _beyond(grid: Vector, values: Vector, at: Vector) -> Vector:
    """Inside the grid a spline, beyond it the straight lines of its ends, which do not rise."""
    inside = scipy.interpolate.CubicSpline(grid, values)
    low, high = max(float(inside(grid[0], 1)), 0.0), min(float(inside(grid[-1], 1)), 0.0)
    found = np.asarray(inside(np.clip(at, grid[0], grid[-1])))
    return np.asarray(found - low * np.maximum(grid[0] - at, 0.0) + high * np.maximum(at - grid[-1], 0.0))


def _common_of(wide: Vector, curves: Vector, means: Vector) -> Vector:
    return np.asarray(sum(np.interp(means, wide, curve) for curve in curves))


def _averaged(exponents: Vector, likelihoods: Vector) -> Vector:
    """Log of each study's likelihood averaged over a normal distribution around each mean, summed over studies."""
    weights = np.exp(exponents)
    weights /= weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights @ likelihoods.T).sum(axis=1))


def _likeliest(at: Vector, values: Vector) -> Likeliest:
    """The top of a curve by a parabola through its highest points, and where it falls by `DROP` on either side."""
    top = int(values.argmax())
    if top in (0, len(at) - 1):
        remedy = "Widen the grid (`low`, `high`), or see whether any site has events in both groups."
        raise ConvergenceError("The likelihood rises up to the end of the grid: there is no estimate.", remedy=remedy)
    left, middle, right = values[top - 1 : top + 2]
    step, bend = at[1] - at[0], left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    peak = middle - 0.25 * (left - right) * shift
    level = peak - DROP
    low = _crossing(at[: top + 1][::-1], values[: top + 1][::-1], level)
    high = _crossing(at[top:], values[top:], level)
    ratio = 2 * (peak - float(np.interp(0.0, at, values))) if at[0] <= 0 <= at[-1] else None
    p = None if ratio is None else float(scipy.special.chdtrc(1, max(ratio, 0.0)))
    return Likeliest(float(at[top] + shift * step), low, high, p)


def _crossing(at: Vector, values: Vector, level: float) -> float | None:
    below = np.flatnonzero(values < level)
    if not len(below):
        return None
    place = int(below[0])
    share = (values[place - 1] - level) / (values[place - 1] - values[place])
    return float(at[place - 1] + share * (at[place] - at[place - 1]))

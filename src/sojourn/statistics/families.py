"""Families and links of generalised linear models, as functions of the linear predictor that do not overflow.

Source: P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed. 1989; starting means as in R's `glm.fit`.
All functions work row by row; w is the prior weight, y the outcome, eta the linear predictor with its offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import scipy  # its parts load when they are first used, which a program that only coordinates never does
from numpy.typing import NDArray

from sojourn.analysis.variable import Variable
from sojourn.errors import PlanError

Vector = NDArray[np.float64]
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Slopes:
    """Of each row: deviance, derivative of the log-likelihood by eta, expected and observed information about eta.

    shape: of a family with a shape the derivative by it, and the observed information about it and with eta.
    """

    deviance: Vector
    score: Vector
    information: Vector
    curvature: Vector
    shape: tuple[Vector, Vector, Vector] | None = None


@dataclass(frozen=True)
class Family:
    """A distribution with one of its links.

    low, high: the outcome's bounds; open: an outcome on the lower one has no likelihood. start: working outcome and
    weight at a mean made from y alone; where `levelled`, as single means lead far out under some links, at the mean of
    all outcomes, its last argument. slopes: at any eta; not finite, or of negative information, where the mean leaves
    its domain. saturated: log-likelihood where the mean is y; of families with a dispersion what does not depend on it.
    shape: name of a further parameter that is estimated with the coefficients, which slopes and saturated take last.
    """

    name: str
    link: str
    low: float
    high: float
    start: Callable[..., tuple[Vector, Vector]]
    slopes: Callable[..., Slopes]
    saturated: Callable[..., Vector]
    open: bool = False
    shape: str = ""
    levelled: bool = False

    @property
    def canonical(self) -> bool:
        """Whether expected and observed information are the same."""
        return self.link == _CANONICAL.get(self.name)

    @property
    def shifts(self) -> bool:
        """Whether a number may be taken from the outcome and the mean alike; so outcomes far from 0 lose no digits."""
        return (self.name, self.link) == ("gaussian", "identity")

    @property
    def dispersed(self) -> bool:
        """Whether the variance has a dispersion that is estimated beside the coefficients."""
        return self.name in DISPERSED


@dataclass(frozen=True)
class _Success:
    """A binomial link by log P, log(1 - P) and their first and second derivatives by eta."""

    link: Callable[[Vector], Vector]
    logs: Callable[[Vector], tuple[Vector, Vector]]
    derivatives: Callable[[Vector, Vector, Vector], tuple[Vector, Vector]]
    second: Callable[[Vector, Vector, Vector], tuple[Vector, Vector]]


def _normal_ratio(eta: Vector, log_tail: Vector) -> Vector:
    """Density over tail probability of the standard normal."""
    return np.asarray(np.exp(-0.5 * eta**2 - _LOG_ROOT_TWO_PI - log_tail))


def _softplus(eta: Vector) -> Vector:
    return np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))


def _logit_logs(eta: Vector) -> tuple[Vector, Vector]:
    positive = _softplus(eta)
    return eta - positive, -positive


def _logit_derivatives(eta: Vector, log_p: Vector, log_q: Vector) -> tuple[Vector, Vector]:
    """1 - P and -P, each without cancellation."""
    small = np.exp(-np.abs(eta))
    likely = 1 / (1 + small)
    rare = small * likely
    positive = eta > 0
    return np.where(positive, rare, likely), -np.where(positive, likely, rare)


_SUCCESS: Mapping[str, _Success] = MappingProxyType(
    {
        "logit": _Success(
            lambda p: np.log(p / (1 - p)),
            _logit_logs,
            _logit_derivatives,
            lambda eta, up, down: (up * down, up * down),
        ),
        "probit": _Success(
            lambda p: np.asarray(scipy.special.ndtri(p)),
            lambda eta: (scipy.special.log_ndtr(eta), scipy.special.log_ndtr(-eta)),
            lambda eta, log_p, log_q: (_normal_ratio(eta, log_p), -_normal_ratio(eta, log_q)),
            lambda eta, up, down: (-up * (eta + up), -down * (eta + down)),
        ),
        "cloglog": _Success(
            lambda p: np.log(-np.log1p(-p)),
            lambda eta: (np.log(-np.expm1(-np.exp(eta))), -np.exp(eta)),
            lambda eta, log_p, log_q: (np.exp(eta + log_q - log_p), -np.exp(eta)),
            lambda eta, up, down: (up * (1 + down - up), down),
        ),
        "log": _Success(
            np.log,
            lambda eta: (eta, np.log(-np.expm1(eta))),
            lambda eta, log_p, log_q: (np.ones_like(eta), -np.exp(log_p - log_q)),
            lambda eta, up, down: (np.zeros_like(eta), down * (1 - down)),
        ),
        "identity": _Success(
            lambda p: p,
            lambda eta: (np.log(eta), np.log1p(-eta)),
            lambda eta, log_p, log_q: (1 / eta, -1 / (1 - eta)),
            lambda eta, up, down: (-(up**2), -(down**2)),
        ),
    }
)


def _shares(y: Vector) -> bool:
    """Whether an outcome is a share between 0 and 1, and not a yes or no."""
    return bool(((y > 0) & (y < 1)).any())


def _entropy(y: Vector) -> Vector:
    return np.asarray(scipy.special.xlogy(y, y) + scipy.special.xlogy(1 - y, 1 - y)) if _shares(y) else np.zeros_like(y)


def _binomial(link: str) -> Family:
    success = _SUCCESS[link]

    def slopes(eta: Vector, y: Vector, w: Vector) -> Slopes:
        log_p, log_q = success.logs(eta)
        up, down = success.derivatives(eta, log_p, log_q)
        log_likelihood = np.where(y > 0, y * log_p, 0.0) + np.where(y < 1, (1 - y) * log_q, 0.0)
        entropy = _entropy(y)
        information = -w * up * down
        if link == "logit":
            curvature = information
        else:
            twice_up, twice_down = success.second(eta, up, down)
            curvature = -w * (y * twice_up + (1 - y) * twice_down)
        return Slopes(2 * w * (entropy - log_likelihood), w * (y * up + (1 - y) * down), information, curvature)

    levelled = link in ("log", "identity")

    def start(y: Vector, w: Vector, mean: float = 0.0) -> tuple[Vector, Vector]:
        means = np.full_like(y, mean) if levelled else (w * y + 0.5) / (w + 1)
        return _working(slopes, success.link(means), y, w)

    def saturated(y: Vector, w: Vector) -> Vector:
        if not _shares(y):
            return np.zeros_like(y)
        ways = scipy.special.gammaln(w + 1) - scipy.special.gammaln(w * y + 1) - scipy.special.gammaln(w * (1 - y) + 1)
        return np.asarray(w * _entropy(y) + np.where((y > 0) & (y < 1), ways, 0.0))

    return Family("binomial", link, 0.0, 1.0, start, slopes, saturated, levelled=levelled)


def _poisson(link: str) -> Family:
    def slopes(eta: Vector, y: Vector, w: Vector) -> Slopes:
        mean = np.exp(eta) if link == "log" else eta
        log_mean = eta if link == "log" else np.log(eta)
        deviance = 2 * w * (scipy.special.xlogy(y, y) - np.where(y > 0, y * log_mean, 0.0) - (y - mean))
        if link == "log":
            return Slopes(deviance, w * (y - mean), w * mean, w * mean)
        return Slopes(deviance, w * (y / mean - 1), w / mean, w * y / mean**2)

    def start(y: Vector, w: Vector) -> tuple[Vector, Vector]:
        return _working(slopes, np.log(y + 0.1) if link == "log" else y + 0.1, y, w)

    def saturated(y: Vector, w: Vector) -> Vector:
        return np.asarray(w * (scipy.special.xlogy(y, y) - y - scipy.special.gammaln(y + 1)))

    return Family("poisson", link, 0.0, np.inf, start, slopes, saturated)


def _gaussian(link: str) -> Family:
    def slopes(eta: Vector, y: Vector, w: Vector) -> Slopes:
        mean = np.exp(eta) if link == "log" else eta
        deviance = w * (y - mean) ** 2
        if link == "log":
            return Slopes(deviance, w * (y - mean) * mean, w * mean**2, w * mean * (2 * mean - y))
        return Slopes(deviance, w * (y - mean), w, w)

    def start(y: Vector, w: Vector) -> tuple[Vector, Vector]:
        if link == "identity":
            return y, w
        positive = y > 0  # the log of other outcomes does not exist, so that they do not join the start
        return _working(slopes, np.log(np.where(positive, y, 1.0)), y, np.where(positive, w, 0.0))

    def saturated(y: Vector, w: Vector) -> Vector:
        return 0.5 * np.log(w)

    return Family("gaussian", link, -np.inf, np.inf, start, slopes, saturated)


def _gamma(link: str) -> Family:
    def slopes(eta: Vector, y: Vector, w: Vector) -> Slopes:
        mean, slope, bend = _GAMMA[link](eta)
        ratio = y / mean
        relative = slope / mean
        score = w * (ratio - 1) * relative
        information = np.where(mean > 0, w * relative**2, np.nan)
        curvature = w * ((2 * ratio - 1) * relative**2 - (ratio - 1) * bend / mean)
        return Slopes(2 * w * (ratio - 1 - np.log(ratio)), score, information, curvature)

    def start(y: Vector, w: Vector) -> tuple[Vector, Vector]:
        return _working(slopes, {"log": np.log, "inverse": np.reciprocal, "identity": np.positive}[link](y), y, w)

    def saturated(y: Vector, w: Vector) -> Vector:
        return np.asarray(-w * np.log(y))

    return Family("gamma", link, 0.0, np.inf, start, slopes, saturated, open=True)


# The mean and its first and second derivatives by eta.
_GAMMA: Mapping[str, Callable[[Vector], tuple[Vector, Vector, Vector]]] = MappingProxyType(
    {
        "log": lambda eta: (np.exp(eta), np.exp(eta), np.exp(eta)),
        "inverse": lambda eta: (1 / eta, -1 / eta**2, 2 / eta**3),
        "identity": lambda eta: (eta, np.ones_like(eta), np.zeros_like(eta)),
    }
)


START_SHAPE = 1.0
"""Theta of the first step; its logarithm is the shape."""


def _negative_binomial(link: str) -> Family:
    """Variance mu + mu^2 / theta; the shape is log theta (J. F. Lawless, Canadian J. of Statistics 15, 1987)."""
    psi, lgamma = scipy.special.psi, scipy.special.gammaln

    def trigamma(x: Vector | float) -> Vector:
        return np.asarray(scipy.special.zeta(2.0, x))

    def slopes(eta: Vector, y: Vector, w: Vector, shape: float) -> Slopes:
        theta, mean = np.exp(shape), np.exp(eta)
        both, less = mean + theta, theta / (mean + theta)
        deviance = 2 * w * (scipy.special.xlogy(y, y / mean) - (y + theta) * np.log((y + theta) / both))
        by_theta = psi(y + theta) - psi(theta) + np.log(less) + (mean - y) / both
        twice = trigamma(y + theta) - trigamma(theta) + mean / (theta * both) - (mean - y) / both**2
        shaped = (w * theta * by_theta, -w * theta * (by_theta + theta * twice), -w * (y - mean) * less * mean / both)
        return Slopes(deviance, w * (y - mean) * less, w * mean * less, w * mean * (1 + y / theta) * less**2, shaped)

    def start(y: Vector, w: Vector) -> tuple[Vector, Vector]:
        mean = np.where(y > 0, y, 1 / 6)
        return _working(partial(slopes, shape=float(np.log(START_SHAPE))), np.log(mean), y, w)

    def saturated(y: Vector, w: Vector, shape: float) -> Vector:
        theta = np.exp(shape)
        ways = lgamma(y + theta) - lgamma(theta) - lgamma(y + 1)
        return np.asarray(w * (ways + scipy.special.xlogy(y, y / (y + theta)) - theta * np.log1p(y / theta)))

    return Family("negative_binomial", link, 0.0, np.inf, start, slopes, saturated, shape="log(theta)")


def _working(slopes: Callable[..., Slopes], eta: Vector, y: Vector, w: Vector) -> tuple[Vector, Vector]:
    """Working outcome and working weight of iteratively reweighted least squares at eta."""
    at = slopes(eta, y, w)
    ratio = np.divide(at.score, at.information, out=np.zeros_like(eta), where=at.information > 0)
    return eta + ratio, at.information


LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gaussian": ("identity", "log"),
        "binomial": ("logit", "probit", "cloglog", "log", "identity"),
        "poisson": ("log", "identity"),
        "gamma": ("log", "inverse", "identity"),
        "negative_binomial": ("log",),
    }
)
"""The links of each family, the default first."""
DISPERSED = frozenset({"gaussian", "gamma"})
_CANONICAL = MappingProxyType({"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "inverse"})
_MAKERS = MappingProxyType(
    {
        "gaussian": _gaussian,
        "binomial": _binomial,
        "poisson": _poisson,
        "gamma": _gamma,
        "negative_binomial": _negative_binomial,
    }
)


def family(name: str, link: str) -> Family:
    """A family with one of its `LINKS`."""
    return _MAKERS[name](link)


def check_share(name: str, variable: Variable) -> None:
    """PlanError where a number that is a binomial outcome is declared beyond 0 and 1."""
    if (variable.low is not None and variable.low < 0) or (variable.high is not None and variable.high > 1):
        raise PlanError(
            f"`{name}` is a number, and the outcome of the binomial family is yes or no.",
            remedy="Use `glm` with `family: gaussian` for a number, or a yes/no outcome. If it holds 0, 1 or shares "
            "only, ask the custodians to declare it from 0 to 1.",
            field="glm.formula",
        )

"""Families and links of generalised linear models, as functions of the linear predictor that do not overflow.

Source: P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed. 1989; starting means as in R's `glm.fit`.
All functions work row by row; w is the prior weight, y the outcome, eta the linear predictor with its offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy  # its parts load when they are first used, which a program that only coordinates never does
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Slopes:
    """Of each row: deviance, derivative of the log-likelihood by eta, expected and observed information about eta."""

    deviance: Vector
    score: Vector
    information: Vector
    curvature: Vector


@dataclass(frozen=True)
class Family:
    """A distribution with one of its links.

    low, high: the outcome's bounds. start: working outcome and weight at a mean made from y alone. slopes: at any eta;
    not finite, or of negative information, where the mean leaves its domain. saturated: log-likelihood where the mean
    is y (of the gaussian only what the weights give).
    """

    name: str
    link: str
    low: float
    high: float
    start: Callable[[Vector, Vector], tuple[Vector, Vector]]
    slopes: Callable[[Vector, Vector, Vector], Slopes]
    saturated: Callable[[Vector, Vector], Vector]

    @property
    def canonical(self) -> bool:
        """Whether expected and observed information are the same."""
        return self.link == LINKS[self.name][0]


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

    def start(y: Vector, w: Vector) -> tuple[Vector, Vector]:
        mean = (w * y + 0.5) / (w + 1)
        return _working(slopes, success.link(mean), y, w)

    def saturated(y: Vector, w: Vector) -> Vector:
        if not _shares(y):
            return np.zeros_like(y)
        ways = scipy.special.gammaln(w + 1) - scipy.special.gammaln(w * y + 1) - scipy.special.gammaln(w * (1 - y) + 1)
        return np.asarray(w * _entropy(y) + np.where((y > 0) & (y < 1), ways, 0.0))

    return Family("binomial", link, 0.0, 1.0, start, slopes, saturated)


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


def _working(
    slopes: Callable[[Vector, Vector, Vector], Slopes], eta: Vector, y: Vector, w: Vector
) -> tuple[Vector, Vector]:
    """Working outcome and working weight of iteratively reweighted least squares at eta."""
    at = slopes(eta, y, w)
    ratio = np.divide(at.score, at.information, out=np.zeros_like(eta), where=at.information > 0)
    return eta + ratio, at.information


LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gaussian": ("identity", "log"),
        "binomial": ("logit", "probit", "cloglog", "log", "identity"),
        "poisson": ("log", "identity"),
    }
)
"""The links of each family, the canonical one first."""

_MAKERS = MappingProxyType({"gaussian": _gaussian, "binomial": _binomial, "poisson": _poisson})


def family(name: str, link: str) -> Family:
    """A family with one of its `LINKS`."""
    return _MAKERS[name](link)

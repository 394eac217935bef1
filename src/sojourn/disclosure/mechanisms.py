"""The mechanisms of formal privacy, all of them OpenDP's: its samplers, maps from distance to loss, conversions.

Nothing here chooses a seed: OpenDP draws from the operating system's randomness, and no request can name one. The
library is an optional part (`sojourn[privacy]`) and loads with the first private answer, not with an idle node.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.noise import GAUSSIAN, LAPLACE
from sojourn.disclosure.budget import EPSILON, Account, Budget
from sojourn.errors import ConfigurationError

Whole = NDArray[np.int64]
WIDER = 1 + 2.0**-30  # where OpenDP's map, which rounds up, gives a little more than the share


def demand() -> None:
    """ConfigurationError unless OpenDP is installed; loads nothing."""
    if importlib.util.find_spec("opendp") is None:
        raise ConfigurationError(
            "A dataset is under formal privacy, and OpenDP is not installed.",
            remedy="Install `sojourn[privacy]`, or take the dataset out of `privacy` in node.yaml.",
        )


def mechanism_of(unit: str) -> str:
    """Laplace for a loss in epsilon, Gaussian for one in rho."""
    return LAPLACE if unit == EPSILON else GAUSSIAN


def scale_for(unit: str, sensitivity: float, share: float) -> float:
    """The smallest scale, to rounding, by which a vector of whole numbers costs at most `share` of loss.

    sensitivity: how much one person changes the vector: in the sum of absolute values (EPSILON), or in length (RHO).
    """
    scale = sensitivity / share if unit == EPSILON else sensitivity / math.sqrt(2 * share)
    while loss_of(unit, sensitivity, scale) > share:
        scale *= WIDER
    return scale


def loss_of(unit: str, sensitivity: float, scale: float) -> float:
    """The loss of one vector by OpenDP's map, rounded up."""
    return float(_noise(unit, scale).map(math.ceil(sensitivity) if unit == EPSILON else sensitivity))


def draw(unit: str, values: Whole, scale: float) -> Whole:
    """The vector with noise of its own in each number. Each call draws anew: see `node/privacy.py` for who may call."""
    return np.array(_noise(unit, scale)([int(value) for value in values]), dtype=np.int64)


@cache
def account(budget: tuple[float, float, float, float]) -> Account:
    """(epsilon, delta, release, the project's epsilon) as the accountant counts them; see `account_of`."""
    epsilon, delta, release, project = budget
    if not delta:
        return Account(EPSILON, release, epsilon, project)
    return Account("rho", _rho(release, delta), _rho(epsilon, delta), _rho(project, delta))


def account_of(budget: Budget, project: str) -> Account:
    """A budget in the accountant's unit, for one project."""
    of_project = budget.of_project(project)
    return account((float(budget.epsilon), float(budget.delta), float(budget.release), float(of_project)))


@lru_cache(maxsize=256)
def _noise(unit: str, scale: float) -> Any:
    dp = _opendp()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if unit == EPSILON:
        return dp.make_laplace(domain, dp.l1_distance(T="i64"), scale)
    return dp.make_gaussian(domain, dp.l2_distance(T="f64"), scale)


def _rho(epsilon: float, delta: float) -> float:
    """The largest rho, to 40 halvings, that is (epsilon, delta) by OpenDP's conversion."""
    low, high = 0.0, epsilon  # rho = epsilon is never within (epsilon, delta) for a delta that is small
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, epsilon, delta) else (low, middle)
    return low


def _within(rho: float, epsilon: float, delta: float) -> bool:
    scale = 1 / math.sqrt(2 * rho * WIDER)  # a little narrower, so that rounding cannot make its loss less than rho
    converted = _opendp().make_zCDP_to_approxDP(_noise("rho", scale))
    return bool(converted.map(1.0).epsilon(delta) <= epsilon)


class _OpenDP:
    """The few parts of OpenDP that are used; its prelude would load ten times as much."""

    def __init__(self) -> None:
        from opendp import combinators, domains, measurements, metrics, mod

        mod.enable_features("contrib")
        parts = (combinators, domains, measurements, metrics)
        self._parts: tuple[Any, ...] = parts

    def __getattr__(self, name: str) -> Any:
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


@cache
def _opendp() -> _OpenDP:
    return _OpenDP()

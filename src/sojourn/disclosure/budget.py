"""Budgets of formal privacy: how much all answers about a dataset, and those to one project, may together give away.

The unit of privacy is one person: with any one person's rows in or out of the dataset, the probability of whatever is
released differs by a factor of e^epsilon at most, but for a part of delta (C. Dwork, A. Roth, The Algorithmic
Foundations of Differential Privacy, 2014). Losses add up: pure epsilon where delta is 0 (basic composition), else rho
of zero-concentrated privacy (M. Bun, T. Steinke, 2016), into which OpenDP's own map turns (epsilon, delta).

Sums are exact, of the decimals that a custodian writes: ten answers of 0.1 are 1, and no rounding overruns a budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

from sojourn.errors import ConfigurationError

EPSILON, RHO = "epsilon", "rho"
CLOSE = Fraction(9, 10)  # of a limit: what goes beyond it is no longer low risk
LARGEST = 20.0  # an epsilon above it promises nothing
LARGEST_DELTA = 1e-3


@dataclass(frozen=True)
class Budget:
    """What a custodian sets for one dataset.

    epsilon, delta: the most that the dataset may ever give away, over all projects, people and snapshots; delta 0 asks
    for pure epsilon. release: the epsilon of one answer. project: the most for one project; None: as for the dataset.
    projects: other figures by project. publish: whether the federation may know epsilon, delta and release.
    """

    epsilon: float
    release: float
    delta: float = 0.0
    project: float | None = None
    projects: Mapping[str, float] = field(default_factory=dict)
    publish: bool = False

    def __post_init__(self) -> None:
        for name, value in (("epsilon", self.epsilon), ("release", self.release), ("project", self.project)):
            if value is not None and not _positive(value, LARGEST):
                raise _wrong(name, f"a number above 0, at most {LARGEST:g}")
        if type(self.delta) not in (int, float) or not 0 <= self.delta <= LARGEST_DELTA:
            raise _wrong("delta", f"a number from 0 to {LARGEST_DELTA:g}")
        if not isinstance(self.projects, Mapping) or not all(
            isinstance(name, str) and _positive(value, LARGEST) for name, value in self.projects.items()
        ):
            raise _wrong("projects", "a mapping of projects to their epsilon")
        if type(self.publish) is not bool:
            raise _wrong("publish", "true or false")
        if self.release > self.epsilon:
            raise _wrong("release", "at most the epsilon of the dataset")

    @classmethod
    def from_dict(cls, document: object) -> Budget:
        """A dataset's settings under `privacy:`; ConfigurationError on anything else."""
        known = {item.name for item in fields(cls)}
        if not isinstance(document, Mapping) or not {"epsilon", "release"} <= set(document) <= known:
            raise ConfigurationError(
                "A dataset's `privacy` is not of the expected form.",
                remedy=f"Give epsilon and release, and at most {', '.join(sorted(known - {'epsilon', 'release'}))}.",
            )
        return cls(**document)

    @property
    def unit(self) -> str:
        """What losses are counted in: EPSILON, or RHO where a delta is allowed."""
        return RHO if self.delta else EPSILON

    def of_project(self, project: str) -> float:
        """The most epsilon for one project, never above the dataset's."""
        own = self.projects.get(project, self.epsilon if self.project is None else self.project)
        return min(own, self.epsilon)

    def public(self) -> dict[str, float]:
        """What the federation may know of it."""
        return {"epsilon": self.epsilon, "delta": self.delta, "release": self.release} if self.publish else {}


@dataclass(frozen=True)
class Loss:
    """One charge: what is answered (`key`), to which project, what it costs in its unit, and the share of the nearer
    limit that was spent with it."""

    key: str
    project: str
    cost: float
    unit: str
    share: float = 0.0


def exact(number: float) -> Fraction:
    """A float as the shortest decimal that stands for it."""
    return Fraction(repr(float(number)))


def spent(losses: Iterable[Loss], unit: str, project: str | None = None) -> Fraction | None:
    """The composed loss in this unit: of a project, or of the dataset, where an answer to several projects counts once.

    A pure epsilon is at most epsilon squared / 2 of rho (Bun and Steinke, proposition 1.4). None: it has no bound, as a
    rho has no pure epsilon.
    """
    costs: dict[str, Fraction] = {}
    for loss in losses:
        if project is not None and loss.project != project:
            continue
        cost = exact(loss.cost)
        if loss.unit != unit:
            if unit == EPSILON:
                return None
            cost = cost**2 / 2
        costs[loss.key] = max(cost, costs.get(loss.key, Fraction(0)))
    return sum(costs.values(), Fraction(0))


@dataclass(frozen=True)
class Account:
    """A budget as the accountant counts it, in its unit: cost of one answer, limits of dataset and project."""

    unit: str
    cost: float
    total: float
    project: float

    def after(self, losses: Iterable[Loss], one: Loss) -> Fraction | None:
        """The share of the nearer limit that is spent once this answer is charged too; None where it may not be."""
        together = (*losses, one)
        mine, everyones = spent(together, self.unit, one.project), spent(together, self.unit)
        if mine is None or everyones is None or mine > exact(self.project) or everyones > exact(self.total):
            return None
        return max(mine / exact(self.project), everyones / exact(self.total))


def _positive(value: Any, most: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 < value <= most


def _wrong(name: str, words: str) -> ConfigurationError:
    return ConfigurationError(f"The privacy setting `{name}` is out of range.", remedy=f"Give {words}.")

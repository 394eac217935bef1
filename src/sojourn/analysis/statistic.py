"""The protocol of a statistic: a pure local part, a pure coordinator, its support and the names of its gate rules."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Never, Protocol, runtime_checkable

import numpy as np

from sojourn.analysis.noise import Noise
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.variable import Variables

MOST_ROUNDS = 12


@dataclass(frozen=True)
class Step:
    """One kind of trip: its name, the shapes of what is broadcast and of what a site gives back."""

    name: str
    broadcast: Mapping[str, tuple[int, ...]]
    partial: Mapping[str, tuple[int, ...]]
    additive: bool = True


@dataclass(frozen=True)
class Ask:
    """What the coordinator asks of every site in one round."""

    step: str
    broadcast: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Suppressed:
    """A cell that may not be shown: never 0, never a magic number, never missing. Bounds where they follow."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return "suppressed"
        ends = ("?" if end is None else format(end, ".15g") for end in (self.low, self.high))
        return f"suppressed [{', '.join(ends)}]"

    def _refuse(self, *_: object) -> Never:
        raise TypeError("a suppressed cell is no number: leave it out by hand, or accept one of the offers")

    # A sum that left it out would pass for a total, so that no arithmetic takes it.
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __neg__ = __pow__ = __rpow__ = __abs__ = __float__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


Cell = float | int | str | bool | None | Suppressed


@dataclass(frozen=True)
class Gathered:
    """What comes back from a round: the sum over the sites and, in clear plans, each site's part in name order.

    hidden: for each site T - 1, the most persons that a cell hidden for being small may hold there. A cell that is
    hidden to protect another may hold more, under the same mark. noise: what was drawn into the parts of some sites:
    such a count may be negative, and squares may be less than zero.
    """

    total: Partial
    by_site: Mapping[str, Partial]
    hidden: Mapping[str, int] = field(default_factory=dict)
    noise: Mapping[str, Noise] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """The answer: a table with an index column, facts beside it, and how exact it is.

    index: names of the index columns. columns: names of the value columns. rows: index values, then values.
    facts: JSON-able numbers and lists beside the table (n, log-likelihood, tests). exactness: "pooled" or
    "approximate: why". warnings: sentences for the reader.
    """

    index: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    exactness: str = "pooled"
    warnings: tuple[str, ...] = ()


Coordinator = Generator[Ask, Gathered, Estimate]


class Statistic(Protocol):
    """One analysis of a plan: a frozen value that carries its own arguments.

    A new statistic is one file in `statistics` and one line in `statistics/catalogue.py`.
    """

    @property
    def name(self) -> str:
        """As it stands in a plan."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of its gate rules."""

    def arguments(self) -> dict[str, Any]:
        """The arguments in canonical form (formulas rendered from their tree, defaults left out)."""

    def variables(self) -> tuple[str, ...]:
        """The columns that it names, without `site`, sorted."""

    def check(self, variables: Variables) -> None:
        """Raise PlanError where the arguments do not fit the declared variables."""

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """Every step with the shapes of its broadcast and partial; known from the plan alone."""

    def rounds(self) -> int:
        """The most rounds that it may take, at most MOST_ROUNDS for each fit."""

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """The site's part of one round: a pure function."""

    def support(self, population: Population) -> Support:
        """The evidence behind every number that any round gives."""

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """How few persons a round rests on, where the broadcast decides that; None where it does not."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """The hub's part: asks, receives what was gathered, returns the estimate. Pure: anyone can replay it."""


@runtime_checkable
class Compared(Statistic, Protocol):
    """A statistic of one step whose counts a masked plan only compares with k: not even their sums exist.

    compared: the array of its step; its coordinator is told k for a cell that reaches it, else 0.
    """

    compared: ClassVar[str]

    @property
    def k(self) -> int:
        """How many persons are asked for."""


@runtime_checkable
class Matched(Statistic, Protocol):
    """A statistic of masked plans that counts whom each two sites have in common: nothing of it is a sum of sites.

    matched: the array of its one step that holds the numbers, a place a pair of sites.
    """

    matched: ClassVar[str]

    @property
    def most(self) -> int:
        """The most persons that a site may put in."""


@runtime_checkable
class Squared(Statistic, Protocol):
    """A statistic that gives squares about means, in the step `squared`, which are broadcast to it."""

    squared: ClassVar[str]

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """What persons give to the squares about these means; about the population's own where none are given."""


def clear_only(statistic: Statistic) -> str:
    """Why a masked plan has no such analysis, a word of `errors.REASONS`; empty where it may have."""
    return "by site" if getattr(statistic, "by_site", False) else str(getattr(statistic, "clear_only", ""))


def most_numbers(statistic: Statistic, variables: Variables, symmetric: bool = False) -> int:
    """The most numbers that a site can give for an analysis: the largest step's, in every round that it may take.

    symmetric: of a model, whose square arrays are symmetric and count once: R (1 + p + p (p + 1) / 2) for p parameters
    in R rounds, and the few numbers that a step has besides.
    """
    steps = statistic.steps(variables)
    largest = max(sum(_distinct(shape, symmetric) for shape in step.partial.values()) for step in steps)
    return statistic.rounds() * largest


def _distinct(shape: tuple[int, ...], symmetric: bool) -> int:
    square = symmetric and len(shape) == 2 and shape[0] == shape[1]
    return shape[0] * (shape[0] + 1) // 2 if square else math.prod(shape)


def fits(ask: Ask, step: Step) -> bool:
    """Whether an ask has exactly the arrays and shapes that its step declares."""
    if set(ask.broadcast) != set(step.broadcast):
        return False
    return all(np.shape(ask.broadcast[name]) == shape for name, shape in step.broadcast.items())

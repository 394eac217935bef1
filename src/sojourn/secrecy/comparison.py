"""Comparisons of sums that nobody sees: whether a total is above a number; quantiles and extremes by bisection.

A search halves a bracket of a declared grid; the bits of each step say in which half it goes on, and anybody can replay
it from them (as in G. Aggarwal, N. Mishra, B. Pinkas, EUROCRYPT 2004). It never enters a half that holds fewer than T
persons beyond a site's own, but stops and says the bracket: which half the rank is in, is not opened then. Of extremes
it finds how far out there are still T persons.

One number a person goes in. Ranks are compared by their factors, which is why there is a most of them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.secrecy.joint import Alternative, Form, JointTest

MOST_RANKS = 100_000  # that a total is compared with
Bits = NDArray[np.bool_]


def above(sites: Sequence[str], evaluators: Sequence[str], bound: int, threshold: int) -> JointTest:
    """Whether the total of the sites' one number is above `bound` and, for every site, total - own at least T.

    So "no" may also mean that there are too few. ValueError where the bound has too many factors.
    """
    _within(bound)
    whole = Form(((0, 1),), (), 0, bound)
    return JointTest(tuple(sites), tuple(evaluators), 1, ((((whole, *_beyond((0,), len(sites), threshold)),),),))


def reached(sites: Sequence[str], evaluators: Sequence[str], counts: int, k: int, threshold: int) -> JointTest:
    """Whether each of `counts` totals is at least k and, for every site, total - own at least T.

    A site's last number is 1 where it vetoes. The first bit says that nobody does; else no other says anything.
    ValueError where k has too many factors.
    """
    _within(k)
    willing = Form(((counts, 1),), (), 1, len(sites))
    told = [
        (willing, Form(((place, 1),), (), 0, k - 1), *_beyond((place,), len(sites), threshold))
        for place in range(counts)
    ]
    conditions = tuple(((forms,),) for forms in [(willing,), *told])
    return JointTest(tuple(sites), tuple(evaluators), counts + 1, conditions)


@dataclass(frozen=True)
class Cut:
    """A bracket, above `low` and at most `high`, in two halves, the first up to `middle`; None for an open end."""

    low: float | None
    middle: float
    high: float | None

    def numbers(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """What a site puts in: its persons up to the bracket, in its first and in its second half."""
        low = 0 if self.low is None else int((values <= self.low).sum())
        middle = int((values <= self.middle).sum())
        high = len(values) if self.high is None else int((values <= self.high).sum())
        return np.array([low, middle - low, high - middle], dtype=np.int64)

    def test(
        self, sites: Sequence[str], evaluators: Sequence[str], rank: int, persons: int, threshold: int
    ) -> JointTest:
        """Two bits: whether the person of this rank, 1 .. persons, is in the first half and that has T; and the second.

        persons: of all sites, a number that has been released. ValueError where it is too large to be compared.
        """
        if not 1 <= rank <= persons:
            raise ValueError("a rank is one of the persons'")
        _within(persons)
        first = Form(((0, 1), (1, 1)), (), 0, rank - 1)
        second = Form(((0, 1), (1, 1)), (), rank, persons)
        halves = ((first, (1,)), (second, (2,)))
        conditions = tuple((((form, *_beyond(half, len(sites), threshold)),),) for form, half in halves)
        return JointTest(tuple(sites), tuple(evaluators), 3, conditions)


@dataclass(frozen=True)
class Beyond:
    """The persons above a value, or below it."""

    value: float
    upper: bool

    def numbers(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """What a site puts in."""
        return np.array([int((values > self.value if self.upper else values < self.value).sum())], dtype=np.int64)

    def test(self, sites: Sequence[str], evaluators: Sequence[str], threshold: int) -> JointTest:
        """One bit: whether there are T, beyond each site's own."""
        condition = ((_beyond((0,), len(sites), threshold),),)
        return JointTest(tuple(sites), tuple(evaluators), 1, (condition,))


@dataclass(frozen=True)
class Bracket:
    """Where a search ended: above `low` and at most `high`. exhausted: the grid has nothing between, else it stopped.

    Of an extreme: it is beyond `low` (a maximum) or `high` (a minimum), and so are at least T persons.
    """

    low: float | None
    high: float | None
    exhausted: bool


def quantile(grid: Sequence[float]) -> Generator[Cut, Bits, Bracket]:
    """The bracket of a rank. grid: increasing, from the plan. Yields what is asked next and takes its two bits."""
    low, high = -1, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        first, second = yield Cut(_at(grid, low), grid[middle], _at(grid, high))
        if first and second:
            raise ValueError("a rank cannot be in both halves")
        if not (first or second):
            return Bracket(_at(grid, low), _at(grid, high), exhausted=False)
        low, high = (low, middle) if first else (middle, high)
    return Bracket(_at(grid, low), _at(grid, high), exhausted=True)


def extreme(grid: Sequence[float], upper: bool) -> Generator[Beyond, Bits, Bracket]:
    """How far out T persons are: the outermost value of the grid that so many are beyond. Takes one bit a step."""
    ordered = list(grid) if upper else list(reversed(grid))
    inner, outer = -1, len(ordered)
    while outer - inner > 1:
        middle = (inner + outer) // 2
        (there,) = yield Beyond(ordered[middle], upper)
        inner, outer = (middle, outer) if there else (inner, middle)
    edge = _at(ordered, inner)
    return Bracket(edge, None, exhausted=True) if upper else Bracket(None, edge, exhausted=True)


def _at(grid: Sequence[float], place: int) -> float | None:
    return grid[place] if 0 <= place < len(grid) else None


def _within(number: int) -> None:
    if not 0 <= number < MOST_RANKS:
        raise ValueError("so many cannot be compared: use the counts of a histogram")


def _beyond(inputs: Sequence[int], sites: int, threshold: int) -> Alternative:
    return tuple(
        Form(tuple((place, 1) for place in inputs), tuple((site, place, -1) for place in inputs), 0, threshold - 1)
        for site in range(sites)
    )

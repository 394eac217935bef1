"""Columns that follow from each other for all but few persons, whom an answer about each would tell of together.

Of the `both` persons with both values `apart` are those for whom y is not a x + b, and `off` those for whom not both
have their common value, one that more than half of the rows hold: that two rare things are absent is no likeness.

    unsafe in a set:     0 < apart < T, 2 apart <= off: n (mean(y) - a mean(x) - b) is about fewer than T persons
    unsafe to publish:   both >= T, and that over everybody or 0 < apart <= off / 20: a condition can choose few of them
    asked of sets:       of the pairs with 0 < apart <= off / 4 or 0 < apart < T over everybody

The most frequent slope between rows finds the line where at least about half of them lie on one (a mode of slopes, in
the place of the median of H. Theil, 1950); a = 1, b = 0 is asked always.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEARLY = 20  # one in so many persons off the common values may differ, and two columns are nearly equal
ALIKE = 4  # and these are alike enough for the ledger to ask of every set
CLOSE = 1e-9  # of the terms: what rounding of floating numbers makes
CLOSEST = 0.25  # and no more: whole numbers that differ by one, such as moments in seconds, are apart
_SAME_SLOPE = 2.0**32  # slopes are the same that share their first binary digits
_AGAIN = 2  # so often a slope must be there


@dataclass(frozen=True)
class Line:
    """y = slope x + offset."""

    slope: float = 1.0
    offset: float = 0.0

    def misses(self, x: Vector, y: Vector) -> Mask:
        """The rows that do not lie on it, but for rounding; both must be there."""
        with np.errstate(over="ignore", invalid="ignore"):
            terms = np.abs(y) + np.abs(self.slope * x) + abs(self.offset)
            close = np.abs(y - (self.slope * x + self.offset)) <= np.minimum(CLOSE * terms, CLOSEST)
        return np.asarray(~close)  # also where the numbers are too large for a difference


@dataclass(frozen=True)
class Apart:
    """The persons of a snapshot for whom two columns do not follow from each other, and those off the common values."""

    apart: BitMap
    off: BitMap

    def tell_few(self, persons: BitMap, threshold: int) -> bool:
        """Whether answers about both columns over these persons tell of fewer than T of them."""
        return few(self.apart.intersection_cardinality(persons), self.off.intersection_cardinality(persons), threshold)

    def joined(self, other: Apart | None) -> Apart:
        """Of two snapshots: who is apart in either."""
        return self if other is None else Apart(self.apart | other.apart, self.off | other.off)


@dataclass(frozen=True)
class Likeness:
    """Of how many persons two columns are both there, apart, and off their common values."""

    both: int
    apart: int
    off: int

    def nearly_equal(self, threshold: int) -> bool:
        """Whether the columns are too alike to be published both."""
        return self.both >= threshold and (self._few(threshold) or 0 < NEARLY * self.apart <= self.off)

    def alike(self, threshold: int) -> bool:
        """Whether answers about both over a chosen set may tell of few."""
        return self.both >= threshold and (self._few(threshold) or 0 < ALIKE * self.apart <= self.off)

    def _few(self, threshold: int) -> bool:
        return few(self.apart, self.off, threshold)


def few(apart: int, off: int, threshold: int) -> bool:
    """Whether answers about two columns over a set with so many persons apart, and off, tell of fewer than T."""
    return 0 < apart < threshold and 2 * apart <= off


def common(values: Vector) -> float | None:
    """The value that more than half of those present hold; None where there is none."""
    present = values[~np.isnan(values)]
    if not len(present):
        return None
    middle = float(np.partition(present, len(present) // 2)[len(present) // 2])  # such a value is the median
    return middle if 2 * np.count_nonzero(present == middle) > len(present) else None


def off_common(x: Vector, y: Vector, commons: tuple[float | None, float | None]) -> Mask:
    """The rows in which not both columns have their common value."""
    if None in commons:
        return np.ones(len(x), dtype=bool)
    return np.asarray((x != commons[0]) | (y != commons[1]))


def lines(x: Vector, y: Vector, commons: tuple[float | None, float | None]) -> tuple[Line, ...]:
    """The lines that many rows may lie on: equality, and those of the most frequent slopes. Both must be there."""
    off = off_common(x, y, commons)
    order = np.random.default_rng(len(x)).permutation(np.flatnonzero(off))
    found = [Line(), _frequent(x[order[:-1]], y[order[:-1]], x[order[1:]], y[order[1:]])]
    if commons[0] is not None and commons[1] is not None:
        here = np.full(len(order), commons[0]), np.full(len(order), commons[1])
        found.append(_frequent(*here, x[order], y[order]))
    return tuple(line for line in found if line is not None)


def _frequent(x0: Vector, y0: Vector, x1: Vector, y1: Vector) -> Line | None:
    """The line of the most frequent slope from points 0 to points 1, through those that lie furthest apart."""
    sound = (x0 != x1) & (y0 != y1)
    if not sound.any():
        return None
    x0, y0, x1, y1 = (values[sound] for values in (x0, y0, x1, y1))
    with np.errstate(over="ignore"):
        slopes = (y1 - y0) / (x1 - x0)
    mantissa, exponent = np.frexp(slopes)
    _, group, sizes = np.unique(
        np.ldexp(np.round(mantissa * _SAME_SLOPE), exponent), return_inverse=True, return_counts=True
    )
    most = int(np.argmax(sizes))
    if sizes[most] < _AGAIN:
        return None
    mine = np.flatnonzero(group == most)
    place = mine[np.argmax(np.abs(x1[mine] - x0[mine]))]
    slope = float(slopes[place])
    line = Line(slope, float(y0[place] - slope * x0[place]))
    return line if np.isfinite([line.slope, line.offset]).all() and line.slope else None

"""Thresholds: at which values of a range rows may be counted, so that enough persons are between any two of them.

The values are taken in the order in which the range is halved again and again, and each only where both sides of it, up
to the nearest values that were taken before, hold enough persons. So sites choose alike; and what several sites all
take is safe at each, since with fewer values there is only more between two of them. A site asks its persons; a joint
test asks its bits, one for each stretch of the range, and opens nothing else. Source: recursive bisection as in
Cormode et al., Differentially private spatial decompositions, ICDE 2012, without its noise; merging as of survival
steps.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap


def told_apart(parts: int, enough: Callable[[int, int], bool]) -> NDArray[np.bool_]:
    """Which of the parts - 1 boundaries may be told. enough: whether parts first .. end - 1 hold enough persons."""
    taken = [0, parts]
    for boundary in _boundaries(parts):
        place = bisect_left(taken, boundary)
        if enough(taken[place - 1], boundary) and enough(boundary, taken[place]):
            insort(taken, boundary)
    told = np.zeros(parts - 1, dtype=bool)
    told[np.array(taken[1:-1], dtype=np.int64) - 1] = True
    return told


def at_site(persons: Sequence[BitMap], threshold: int) -> Callable[[int, int], bool]:
    """Whether a stretch holds at least T persons, from the persons of each part."""
    before = [0, *accumulate(len(part) for part in persons)]
    if before[-1] == len(together(persons)):  # nobody in two parts
        return lambda first, end: before[end] - before[first] >= threshold
    return lambda first, end: len(together(persons[first:end])) >= threshold


def together(persons: Sequence[BitMap]) -> BitMap:
    """The persons of some parts."""
    return BitMap.union(BitMap(), *persons)


def stretches(parts: int) -> Iterator[tuple[int, int]]:
    """Every stretch of a range, as (first, one after the last)."""
    return ((first, end) for first in range(parts) for end in range(first + 1, parts + 1))


def _boundaries(parts: int) -> Iterator[int]:
    """The middle, then those of the halves, and so on."""
    level = [(0, parts)]
    while level:
        halves = []
        for first, end in level:
            middle = (first + end) // 2
            if middle > first:
                yield middle
                halves += [(first, middle), (middle, end)]
        level = halves

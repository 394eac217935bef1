"""Thresholds: at which values of a range rows may be counted, so that enough persons are between any two of them.

The range is halved again and again; whether each half, quarter, … holds enough persons is all that the choice rests
on (`unions`, `told_apart`). So it can be made at a site, which knows the persons, or from bits alone, which are all
that is open of a joint test. Values are taken in the order of their halving, and each only where both sides of it, up
to the nearest values that were taken before, contain a part with enough persons. Fewer values than were taken are as
safe: what is between them only grows. So sites that take different ones have those in common that all of them take.
Source: recursive bisection as in R. Cormode et al., Differentially private spatial decompositions, ICDE 2012, without
its noise; the merging is that of survival steps.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap


def halves(parts: int) -> tuple[tuple[int, int], ...]:
    """The pieces of a range of so many parts, as (first, one after the last): the whole, its halves, and so on.

    A piece of one part is not halved; the order is that of `unions`.
    """
    found, level = [], [(0, parts)]
    while level:
        found += level
        level = [half for piece in level if piece[1] - piece[0] > 1 for half in _halved(*piece)]
    return tuple(found)


def unions(persons: Sequence[BitMap]) -> tuple[BitMap, ...]:
    """The persons of each piece, from those of each part."""
    pieces = halves(len(persons))
    of: dict[tuple[int, int], BitMap] = {}
    for first, end in reversed(pieces):
        whole = end - first == 1
        of[first, end] = persons[first] if whole else BitMap.union(*(of[half] for half in _halved(first, end)))
    return tuple(of[piece] for piece in pieces)


def told_apart(enough: NDArray[np.bool_], parts: int) -> NDArray[np.bool_]:
    """Which of the parts - 1 boundaries may be told, where `enough` says which of `halves` hold enough persons."""
    pieces = halves(parts)
    if len(enough) != len(pieces):
        raise ValueError("a bit is needed for each piece of the range")
    reach = np.full(parts + 1, parts + 1)  # the least end of a piece with enough persons that starts here or later
    for (first, end), passes in zip(pieces, enough, strict=True):
        if passes:
            reach[first] = min(reach[first], end)
    reach = np.minimum.accumulate(reach[::-1])[::-1]
    taken = [0, parts]
    for boundary in _boundaries(pieces):
        place = bisect_left(taken, boundary)
        if reach[taken[place - 1]] <= boundary and reach[boundary] <= taken[place]:
            insort(taken, boundary)
    told = np.zeros(parts - 1, dtype=bool)
    told[np.array(taken[1:-1], dtype=np.int64) - 1] = True
    return told


def _halved(first: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
    middle = (first + end) // 2
    return (first, middle), (middle, end)


def _boundaries(pieces: Sequence[tuple[int, int]]) -> Iterator[int]:
    return ((first + end) // 2 for first, end in pieces if end - first > 1)

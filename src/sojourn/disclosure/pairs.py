"""Pairs: two sets of persons, both known, that differ by few.

    unsafe: A != B, |A \\ B| < T and |B \\ A| < T

The smallest form of differencing (Denning, Cryptography and Data Security, 1982, chapter 6): f(A) - f(B) is about fewer
than 2T persons. Where one of the two differences is large, f(A) - f(B) is about many; the small one follows only if
the common part, or the union, is known too, and then that set and A, or B, are such a pair themselves, or the three are
a tracker. Inclusion, all and all but one, is the case of one empty difference.

Worst case: sets of sizes within T of each other that agree in all 256 buckets but for fewer than T persons are compared
by their bitmaps, new × known of them. An analyst reaches that only with sets that are near to begin with, the first of
which is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sojourn.disclosure.known import Sets

_BLOCK = 4096  # candidates whose fine sketches are compared at once


def near(sets: Sets, place: int, threshold: int) -> Iterator[int]:
    """The places of the sets that differ from this one by fewer than `threshold` persons on either side."""
    candidates = np.flatnonzero(np.abs(sets.sizes - sets.sizes[place]) < threshold)
    candidates = candidates[candidates != place]
    candidates = _close(sets.coarse, place, candidates, threshold)
    for start in range(0, len(candidates), _BLOCK):
        for other in _close(sets.fine, place, candidates[start : start + _BLOCK], threshold):
            if _near(sets, place, int(other), threshold):
                yield int(other)


def _close(sketches: NDArray[np.int32], place: int, candidates: NDArray[np.intp], threshold: int) -> NDArray[np.intp]:
    """Those whose buckets do not already tell that a difference is large."""
    apart = sketches[candidates] - sketches[place]
    more = np.maximum(apart, 0).sum(axis=1)
    fewer = more - apart.sum(axis=1)
    return candidates[(more < threshold) & (fewer < threshold)]


def _near(sets: Sets, one: int, other: int, threshold: int) -> bool:
    a, b = sets.persons[one], sets.persons[other]
    left = a.difference_cardinality(b)
    right = len(b) - len(a) + left
    return bool(left + right > 0 and left < threshold and right < threshold)

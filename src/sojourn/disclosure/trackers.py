"""Trackers: three known sets whose sum and difference is about few persons.

    unsafe: 1_A + 1_B - 1_C is not zero for 0 < n < T persons

The general tracker q(S) = q(S or T) + q(S or not T) - q(all), and the padding of a forbidden set with a known one
(D. E. Denning, P. J. Denning, M. D. Schwartz, The tracker, ACM TODS 4, 1979). Searched by sizes, |A| + |B| and |C|
within T of each other, then by sketches, then exactly; at most a bounded number of triples is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.known import Sets

_BLOCK = 8192

Triples = NDArray[np.int64]  # (triples, 3): A, B, C


class TooMany(Exception):
    """There are more candidates than are looked at."""


def trackers(sets: Sets, fresh: list[int], threshold: int, most: int) -> Iterator[tuple[tuple[int, int, int], BitMap]]:
    """A, B, C with one of `fresh` among them, and the few persons; TooMany beyond `most` candidates."""
    candidates = _candidates(sets, fresh, threshold, most)
    for start in range(0, len(candidates), _BLOCK):
        block = candidates[start : start + _BLOCK]
        for sketches in (sets.coarse, sets.fine):
            a, b, c = (sketches[block[:, place]] for place in range(3))
            # a person stands in the sum at most twice
            block = block[np.abs(a + b - c).sum(axis=1) < 2 * threshold]
        for triple in block.tolist():
            few = _left(*(sets.persons[place] for place in triple))
            if 0 < len(few) < threshold:
                yield (triple[0], triple[1], triple[2]), few


def _left(a: BitMap, b: BitMap, c: BitMap) -> BitMap:
    """For whom the sum is not zero: in both of A and B, or in one of them and not in C, or in C alone."""
    return (a & b) | ((a ^ b) ^ c)


def _candidates(sets: Sets, fresh: list[int], threshold: int, most: int) -> Triples:
    """Triples whose sizes allow it, found among the distinct sizes."""
    sizes, group = np.unique(sets.sizes, return_inverse=True)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(sizes)))[:-1])
    found: list[Triples] = []
    number = 0
    new = np.zeros(len(sets), dtype=bool)
    new[fresh] = True
    for size in np.unique(sets.sizes[fresh]) if fresh else ():
        own = np.flatnonzero(new & (sets.sizes == size))
        for place, other in enumerate(sizes):
            # own as A: own + other ~ third; own as C: other + third ~ own
            for target, as_whole in ((size + other, False), (size - other, True)):
                # a person stands in A + B - C twice at most, and once less than never: the sizes may be so far apart
                twice, once = 2 * threshold - 2, threshold - 1
                below, above = (once, twice) if as_whole else (twice, once)
                low, high = np.searchsorted(sizes, [target - below, target + above + 1])
                if low == high:
                    continue
                thirds = np.concatenate(members[low:high])
                number += len(own) * len(members[place]) * len(thirds)
                if number > most:
                    raise TooMany
                x, y, z = (grid.ravel() for grid in np.meshgrid(own, members[place], thirds, indexing="ij"))
                triples = np.stack([y, z, x] if as_whole else [x, y, z], axis=1)
                found.append(_distinct(triples))
    return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)


def _distinct(triples: Triples) -> Triples:
    """Of three different sets, A before B."""
    a, b, c = triples.T
    triples = np.stack([np.minimum(a, b), np.maximum(a, b), c], axis=1)
    return np.asarray(triples[(a != b) & (a != c) & (b != c)])

"""Complementary suppression without counts: which passing cells are hidden beside those that failed.

Nobody knows the counts of a joint table, only which cells pass: beyond each site at least T persons stand behind them.
A failed cell is protected where persons can be moved into it without changing any sum of lines, taking them from cells
that pass and are hidden: as these hold T persons, the failed cell, and every sum of failed cells with it, may be
greater by T for all that anybody knows. A move is 1 more at one corner of a rectangle (a cube, in more dimensions), 1
less at the next, in turn. The choice follows from the pattern alone, so that all sites make the same.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def structural_complement(failed: Mask, known: Mask) -> Mask:
    """The failed cells and those hidden for their sake; the whole table where no move protects a failed cell.

    known: structural zeros, which are neither hidden nor moved.
    """
    hidden = failed.copy()
    for place in np.argwhere(failed):
        corners = _cheapest(tuple(place.tolist()), failed, hidden, known)
        if corners is None:
            return ~known
        for corner in corners:
            hidden[corner] = True
    return hidden


def _cheapest(place: tuple[int, ...], failed: Mask, hidden: Mask, known: Mask) -> list[tuple[int, ...]] | None:
    """The corners of the move that hides the fewest further cells, the first of equals."""
    best, least = None, -1
    others = [[i for i in range(size) if i != at] for at, size in zip(place, failed.shape, strict=True)]
    for opposite in itertools.product(*others):
        corners = []
        for flips in itertools.product((False, True), repeat=len(place)):
            corner = tuple(there if flip else at for at, there, flip in zip(place, opposite, flips, strict=True))
            if known[corner] or (sum(flips) % 2 and failed[corner]):
                break
            corners.append(corner)
        else:
            cost = sum(not hidden[corner] for corner in corners)
            if best is None or cost < least:
                best, least = corners, cost
    return best

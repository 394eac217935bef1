"""Complementary suppression without counts: which passing cells are hidden beside those that failed.

Nobody knows the counts of a joint table, only which of its cells and sums pass: beyond each site at least T persons
stand behind them. A failed cell is protected where persons can be moved into it without changing anything that is
shown, taking them from what passes and is hidden: as that holds T persons, the failed cell, and every sum of failed
cells with it, may be greater by T for all that anybody can tell. Sums of lines count as shown where a table of fewer
dimensions would show them, by this same rule. The choice follows from the pattern alone, so that all sites make the
same one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Place = tuple[int, ...]


def structural_complement(failed: Mask, known: Mask) -> Mask:
    """The failed cells and those hidden for their sake; the whole table where nothing protects a failed cell.

    failed: of a table with its sums, which stand in one further place along each axis. known: of the cells alone, those
    that are declared to hold nobody; they are neither hidden nor moved.
    """
    axes = range(known.ndim)
    hidden = failed.copy()
    hidden[tuple(slice(None, -1) for _ in axes)] &= ~known
    for kept in (kept for size in range(1, known.ndim) for kept in itertools.combinations(axes, size)):
        gone = tuple(axis for axis in axes if axis not in kept)
        at = tuple(slice(None) if axis in kept else -1 for axis in axes)
        part = structural_complement(failed[at], np.asarray(known.all(axis=gone)))
        hidden[tuple(slice(None, -1) if axis in kept else -1 for axis in axes)] = part
    return _completed(failed, hidden, known)


def follows(union: Collection[int], lines: Sequence[Collection[int]], hidden: Sequence[int]) -> bool:
    """Whether the sum of a union of cells follows from the sums of lines and of the cells that are not hidden."""
    rows = np.array([[cell in line for cell in hidden] for line in (*lines, union)], dtype=float)
    return not hidden or bool(np.linalg.matrix_rank(rows) == np.linalg.matrix_rank(rows[:-1]))


def _completed(failed: Mask, hidden: Mask, known: Mask) -> Mask:
    """Of a table whose hidden sums are decided."""
    cells = tuple(slice(None, -1) for _ in range(known.ndim))
    movable = hidden.copy()
    movable[cells] = ~known
    cost = np.zeros(hidden.shape, dtype=np.int64)
    for place in map(tuple, np.argwhere(hidden[cells]).tolist()):
        cost[cells] = ~hidden[cells]
        found = [_corners(place, failed, movable, cost), _exchange(place, failed, movable, cost)]
        choices = [(price, number, taken) for number, (price, taken) in enumerate(found) if taken]
        if not choices:
            return ~known
        for other in min(choices)[2]:
            hidden[other] = True
    return np.asarray(hidden[cells])


def _corners(place: Place, failed: Mask, movable: Mask, cost: NDArray[np.int64]) -> tuple[int, list[Place]]:
    """The cheapest rectangle (cube, …): 1 more at one corner, 1 less at the next, in turn; sums follow their cells."""
    shape = movable.shape
    opposite = np.indices(shape)
    ok = np.ones(shape, dtype=bool)
    for axis, own in enumerate(place):
        ok &= opposite[axis] != own
    price = np.zeros(shape, dtype=np.int64)
    flipped = list(itertools.product((False, True), repeat=len(place)))
    for flips in flipped:
        corner = tuple(slice(None) if flip else slice(at, at + 1) for flip, at in zip(flips, place, strict=True))
        less = np.zeros(shape, dtype=bool)
        for axis in np.flatnonzero(flips).tolist():
            less ^= opposite[axis] < shape[axis] - 1
        ok &= np.where(less, movable[corner] & ~failed[corner], movable[corner])
        price += cost[corner]
    if not ok.any():
        return 0, []
    best = _first(ok, price)
    corners = [
        tuple(there if flip else at for at, there, flip in zip(place, best, flips, strict=True)) for flips in flipped
    ]
    return int(price[best]), corners


def _exchange(place: Place, failed: Mask, movable: Mask, cost: NDArray[np.int64]) -> tuple[int, list[Place]]:
    """The first cell that one can be taken from where all sums that tell the two apart are hidden."""
    axes = range(len(place))
    cells = tuple(slice(None, -1) for _ in axes)
    ok = movable[cells] & ~failed[cells]
    ok[place] = False
    index = np.indices(ok.shape)
    for kept in (kept for size in range(1, len(place)) for kept in itertools.combinations(axes, size)):
        own = tuple(place[axis] if axis in kept else -1 for axis in axes)
        theirs = tuple(slice(None, -1) if axis in kept else slice(-1, None) for axis in axes)
        same = np.all([index[axis] == place[axis] for axis in kept], axis=0)
        ok &= same | (movable[own] & movable[theirs] & ~failed[theirs])
    if not ok.any():
        return 0, []
    best = _first(ok, cost[cells])
    return int(cost[best]), [place, best]


def _first(ok: Mask, price: NDArray[np.int64]) -> Place:
    """The first of the cheapest."""
    best = int(np.argmin(np.where(ok, price, price.max() + 1)))
    return tuple(int(part) for part in np.unravel_index(best, ok.shape))

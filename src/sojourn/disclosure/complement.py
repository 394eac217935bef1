"""Complementary suppression: what else must be hidden, so that a hidden cell cannot be had from totals.

A hidden cell must not follow from totals that are published or known (Hundepool et al., Statistical Disclosure Control,
2012, chapter 4). First, along a line of a table and over the whole table,

    hidden cells = 0, or hidden cells >= 2 and persons behind all hidden cells >= T.

Then the exact audit: the feasibility interval of every hidden cell, a linear programme over the shown cells and all
margins that the product would itself release of the same persons, is at least as wide as the protection: [0, T], and
[1, T] where zeros are shown. So it also holds against counts by fewer dimensions, asked beside this table or later.
Sets of hidden cells that satisfy both are closed under union, so rules that each complete their own set cannot loosen
one another. Where a person may stand in several cells, the sums are of cells and not of persons.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells
from sojourn.analysis.variable import SITE
from sojourn.disclosure.intervals import Audit, System, Unprotected

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
MOST_CELLS = 20_000  # of a table that is audited; a larger one with a hidden cell is hidden whole
_MOST_SWAPS = 100_000_000  # hidden cells times cells; beyond, the programmes do it all
Order = Callable[[NDArray[Any]], NDArray[Any]]


def complement(cells: Cells, hidden: Mask, threshold: int, zero_shown: bool = False) -> Mask:
    """`hidden` and further cells, the smallest that serve first, until the conditions of this module hold.

    A cell without persons protects nothing and is not taken, unless nothing less than the whole table will do. Cells
    without named dimensions are numbers beside one another, with no total in common, and need no complement.
    """
    if not cells.dimensions or not hidden.any():
        return hidden.copy()
    counts, known = cells.counts(), cells.structural()

    def behind(mask: Mask) -> int:
        return len(BitMap.union(BitMap(), *(cells.persons[i] for i in np.flatnonzero(mask))))

    here = _here(cells, counts)
    while True:
        hidden = _first(counts, hidden, threshold, behind)
        more = hidden.copy()
        more[here] = _audited(counts[here], hidden[here], known[here], threshold, zero_shown)
        if (more == hidden).all():
            return hidden
        hidden = more


def _here(cells: Cells, counts: Counts) -> tuple[slice | int, ...]:
    """The part of the table that is this site's: the reserved `site` axis makes all others zero by construction."""
    parts: list[slice | int] = [slice(None)] * counts.ndim
    for axis, name in enumerate(cells.dimensions):
        if name == SITE:
            parts[axis] = int(np.argmax(counts.sum(axis=tuple(i for i in range(counts.ndim) if i != axis))))
    return tuple(parts)


def _first(counts: Counts, hidden: Mask, threshold: int, behind: Callable[[Mask], int]) -> Mask:
    """The first condition.

    Every line with exactly one hidden cell loses its smallest shown cell, by preference one that also stands in
    another such line; then, while fewer than T persons stand behind all hidden cells, the smallest shown cell goes.
    """
    hidden = hidden.copy()
    while True:
        shown = ~hidden & (counts > 0)
        more = _lone_lines(counts, hidden, shown)
        if not more.any() and hidden.any() and shown.any() and behind(hidden) < threshold:
            more.flat[int(np.argmin(np.where(shown, counts, counts.max() + 1)))] = True
        if not more.any():
            return hidden
        hidden |= more


def _lone_lines(counts: Counts, hidden: Mask, shown: Mask) -> Mask:
    """For each line with exactly one hidden cell and a shown one: the cell to hide with it."""
    more = np.zeros(hidden.shape, dtype=bool)
    if not hidden.ndim:
        return more
    alone = [
        (hidden.sum(axis=axis, keepdims=True) == 1) & shown.any(axis=axis, keepdims=True) for axis in range(hidden.ndim)
    ]
    crossings = np.sum([np.broadcast_to(lone, hidden.shape) for lone in alone], axis=0)
    dear = counts.max() + 1
    cost = np.where(shown, counts - dear * crossings, dear)
    for axis, lone in enumerate(alone):
        picked = np.zeros(hidden.shape, dtype=bool)
        np.put_along_axis(picked, np.expand_dims(np.argmin(cost, axis=axis), axis), True, axis)
        more |= picked & lone
    return more


def _audited(counts: Counts, hidden: Mask, known: Mask, threshold: int, zero_shown: bool) -> Mask:
    """`hidden` and what the audit hides; the whole table where nothing less will do."""
    if not hidden.any() or not counts.ndim:
        return hidden
    if counts.size > MOST_CELLS:
        return hidden | ~known
    order, back = _canonical(counts)
    ordered = order(counts)
    audit = with_margins(ordered, order(hidden), order(known), threshold, zero_shown)
    try:
        completed = audit.complete()
    except Unprotected:
        completed = audit.hidden | audit.system.hideable
    return back(inner(completed, ordered.shape))


def with_margins(counts: Counts, hidden: Mask, known: Mask, threshold: int, zero_shown: bool) -> Audit:
    """The audit of a table together with its margins, which are hidden where their own table would hide them.

    known: structural zeros. The system's numbers are the table's with one further place along each axis, C order.
    """
    whole = with_sums(counts)
    gone = np.zeros(whole.shape, dtype=bool)
    for axes, mask in margins(counts, known, threshold, zero_shown).items():
        gone[tuple(-1 if axis in axes else slice(None, -1) for axis in range(counts.ndim))] = mask
    cells = (slice(None, -1),) * counts.ndim
    gone[cells] = hidden
    gone[(-1,) * counts.ndim] = counts.sum() < threshold
    hideable = np.zeros(whole.shape, dtype=bool)
    hideable[cells] = ~known
    low = np.where(whole > 0, int(zero_shown), 0)
    matrix = relations(whole.shape)
    audit = Audit(System(whole.ravel(), matrix, hideable.ravel(), low.ravel()), gone.ravel(), threshold - zero_shown)
    places, least, most = _swaps(counts, hidden, low[cells])
    audit.reach(np.ravel_multi_index(tuple(places.T), whole.shape), least, most)
    return audit


def inner(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The cells alone of a mask over a table with its margins."""
    return np.asarray(mask.reshape(tuple(size + 1 for size in shape))[(slice(None, -1),) * len(shape)])


def margins(counts: Counts, known: Mask, threshold: int, zero_shown: bool) -> dict[tuple[int, ...], Mask]:
    """For each set of axes that is summed over, without none and all: what a table of these counts alone would hide."""
    found = {}
    for length in range(1, counts.ndim):
        for axes in itertools.combinations(range(counts.ndim), length):
            sums, empty = counts.sum(axis=axes), np.asarray(known.all(axis=axes))
            small: Mask = (sums < threshold) & ((sums > 0) | (not zero_shown)) & ~empty
            found[axes] = _alone(sums, small, empty, threshold, zero_shown)
    return found


def _alone(counts: Counts, hidden: Mask, known: Mask, threshold: int, zero_shown: bool) -> Mask:
    while hidden.any():
        first = _first(counts, hidden, threshold, lambda mask: int(counts[mask].sum()))
        hidden = _audited(counts, first, known, threshold, zero_shown)
        if (hidden == first).all():
            break
    return hidden


def with_sums(counts: Counts) -> Counts:
    """The table with its sums in one further place along each axis."""
    for axis in range(counts.ndim):
        counts = np.concatenate([counts, counts.sum(axis=axis, keepdims=True)], axis=axis)
    return counts


def relations(shape: tuple[int, ...]) -> csr_array:
    """Along each axis of a table with margins, each line's cells minus its last is zero."""
    from scipy.sparse import coo_array

    places = np.arange(int(np.prod(shape))).reshape(shape)
    rows, columns, signs, first = [], [], [], 0
    for axis in range(len(shape)):
        lines = np.moveaxis(places, axis, -1).reshape(-1, shape[axis])
        number = np.repeat(np.arange(len(lines)) + first, shape[axis])
        sign = np.ones(lines.shape)
        sign[:, -1] = -1
        rows.append(number)
        columns.append(lines.ravel())
        signs.append(sign.ravel())
        first += len(lines)
    data = (np.concatenate(signs), (np.concatenate(rows), np.concatenate(columns)))
    return coo_array(data, shape=(first, places.size)).tocsr()


def _swaps(counts: Counts, hidden: Mask, low: Counts) -> tuple[Counts, NDArray[np.float64], NDArray[np.float64]]:
    """For each hidden cell the least and the most by exchanging persons with one opposite corner of hidden cells.

    In one dimension with all other hidden cells. It spares most programmes: the 2 ** axes corners between two cells may
    alternately gain and lose, and no margin tells.
    """
    places = np.argwhere(hidden)
    if len(places) * counts.size > _MOST_SWAPS and counts.ndim > 1:
        return places, counts[hidden].astype(np.float64), counts[hidden].astype(np.float64)
    slack = np.where(hidden, counts - low, 0).astype(np.float64)
    numbers, spare = counts[hidden].astype(np.float64), slack[hidden]
    if counts.ndim == 1:
        others = slack.sum() - spare
        return places, numbers - spare * (len(places) > 1), numbers + others
    least, most = numbers.copy(), numbers.copy()
    for position, place in enumerate(places):
        down, up = np.full(counts.shape, np.inf), np.full(counts.shape, np.inf)
        for flips in itertools.product((False, True), repeat=counts.ndim):
            corner = slack[
                tuple(slice(None) if flip else slice(i, i + 1) for flip, i in zip(flips, place, strict=True))
            ]
            full = hidden[tuple(slice(None) if flip else slice(i, i + 1) for flip, i in zip(flips, place, strict=True))]
            side = up if sum(flips) % 2 else down
            np.minimum(side, np.where(full, corner, -1.0), out=side)
        distinct = np.ones(counts.shape, dtype=bool)
        for axis, i in enumerate(place):
            np.moveaxis(distinct, axis, 0)[i] = False
        ok = distinct & (down >= 0) & (up >= 0)
        if ok.any():
            least[position] -= down[ok].max()
            most[position] += up[ok].max()
    return places, least, most


def _canonical(counts: Counts) -> tuple[Order, Order]:
    """The same table whatever the order of its axes and levels, so that the choice does not depend on it; and back."""
    orders, keys = [], []
    for axis in range(counts.ndim):
        lines = np.moveaxis(counts, axis, 0).reshape(counts.shape[axis], -1)
        order = np.lexsort((lines.max(axis=1), lines.sum(axis=1)))
        orders.append(order)
        keys.append((counts.shape[axis], tuple(lines.sum(axis=1)[order].tolist()), axis))
    axes = [key[-1] for key in sorted(keys)]

    def ordered(table: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(table[np.ix_(*orders)].transpose(axes))

    def back(table: NDArray[Any]) -> NDArray[Any]:
        result = np.empty(counts.shape, dtype=table.dtype)
        result[np.ix_(*orders)] = table.transpose(np.argsort(axes))
        return result

    return ordered, back

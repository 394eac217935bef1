"""Hiding cells: which arrays a cell stands in, and what else must go so that a hidden cell cannot be had from a total.

Complementary suppression (Hundepool et al., Statistical Disclosure Control, 2012, chapter 4). A hidden cell must not
follow from a total that is published or known: along a line of a table, and over the whole table,

    hidden cells = 0, or hidden cells >= 2 and persons behind all hidden cells >= T.

This is the first line. It protects against subtraction in one table; the exact audit, a linear programme over all
published margins of this and of linked tables, is not part of it. Sets of hidden cells that satisfy the condition are
closed under union, so rules that each complete their own set cannot loosen one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells
from sojourn.analysis.variable import SITE
from sojourn.disclosure.output import Finding, Output, Tier, Verdict

Mask = NDArray[np.bool_]
Masks = Mapping[str, Mask]


def small(cells: Cells, threshold: int, zero_shown: bool) -> Mask:
    """The cells with 0 < n < T persons, and n = 0 unless zeros are shown; another site's column is no cell at all."""
    counts = cells.counts()
    hidden = (counts < threshold) & ((counts > 0) | (not zero_shown))
    return np.asarray(hidden & ~elsewhere(cells, counts))


def elsewhere(cells: Cells, counts: NDArray[np.int64]) -> Mask:
    """Cells that are empty at every site but their own: the reserved `site` axis makes them zero by construction."""
    empty = np.zeros(cells.shape, dtype=bool)
    for axis, name in enumerate(cells.dimensions):
        if name == SITE:
            others = tuple(i for i in range(counts.ndim) if i != axis)
            empty |= counts.sum(axis=others, keepdims=True) == 0
    return empty


def complement(cells: Cells, hidden: Mask, threshold: int) -> Mask:
    """`hidden` and the fewest further cells, smallest first, until the condition of this module holds.

    Every line with exactly one hidden cell loses its smallest shown cell, by preference one that also stands in
    another such line; then, while fewer than T persons stand behind all hidden cells, the smallest shown cell of the
    table goes. A cell without persons protects nothing and is never taken. Cells without named dimensions are numbers
    beside one another, with no total in common, and need no complement.
    """
    counts = cells.counts()
    hidden = hidden.copy()
    if not cells.dimensions:
        return hidden
    while True:
        shown = ~hidden & (counts > 0)
        more = _lone_lines(counts, hidden, shown)
        if not more.any() and hidden.any() and shown.any() and _behind(cells, hidden) < threshold:
            more.flat[int(np.argmin(np.where(shown, counts, counts.max() + 1)))] = True
        if not more.any():
            return hidden
        hidden |= more


def _lone_lines(counts: NDArray[np.int64], hidden: Mask, shown: Mask) -> Mask:
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


def _behind(cells: Cells, hidden: Mask) -> int:
    return len(BitMap.union(BitMap(), *(cells.persons[i] for i in np.flatnonzero(hidden))))


def over(output: Output, names: Iterable[str], hidden: Mask) -> dict[str, Mask]:
    """The mask of the cells laid over those of the arrays that this round gives."""
    present = output.partial.arrays
    return {name: spread(hidden, present[name].shape) for name in names if name in present}


def spread(hidden: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask of cells over an array whose full shape, first or last axes they are; both, where both would fit."""
    axes = hidden.ndim
    laid = np.zeros(shape, dtype=bool)
    leading, trailing = shape[:axes] == hidden.shape, shape[len(shape) - axes :] == hidden.shape
    if len(shape) < axes or not (leading or trailing):
        raise ValueError("cells and array do not have the same shape")
    if leading:
        laid |= hidden.reshape(hidden.shape + (1,) * (len(shape) - axes))
    if trailing:
        laid |= hidden
    return laid


def union(masks: Iterable[Masks]) -> dict[str, Mask]:
    """All masks together, array by array."""
    joined: dict[str, Mask] = {}
    for one in masks:
        for name, mask in one.items():
            joined[name] = joined[name] | mask if name in joined else mask
    return joined


def suppress(family: str, masks: Masks, *, tier: Tier = Tier.LOW, note: str = "") -> Finding:
    """The finding that hides these cells, or releases where there is nothing to hide."""
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    if not masks:
        return Finding(Verdict.RELEASE, family if tier is not Tier.LOW else "", tier=tier, note=note)
    return Finding(Verdict.SUPPRESS, family, masks, tier, note)

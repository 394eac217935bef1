"""Hiding cells: which cells are small, and which arrays a cell stands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.support import Cells
from sojourn.analysis.variable import SITE
from sojourn.disclosure.output import Finding, Output, Tier, Verdict

Mask = NDArray[np.bool_]
Masks = Mapping[str, Mask]


def small(cells: Cells, threshold: int, zero_shown: bool) -> Mask:
    """The cells with 0 < n < T persons, and n = 0 unless zeros are shown; no structural zero, no other site's cell."""
    counts = cells.counts()
    hidden = (counts < threshold) & ((counts > 0) | (not zero_shown))
    return np.asarray(hidden & ~elsewhere(cells, counts) & ~cells.structural())


def elsewhere(cells: Cells, counts: NDArray[np.int64]) -> Mask:
    """Cells that are empty at every site but their own: the reserved `site` axis makes them zero by construction."""
    empty = np.zeros(cells.shape, dtype=bool)
    for axis, name in enumerate(cells.dimensions):
        if name == SITE:
            others = tuple(i for i in range(counts.ndim) if i != axis)
            empty |= counts.sum(axis=others, keepdims=True) == 0
    return empty


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

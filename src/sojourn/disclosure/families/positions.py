"""Positions: a quantile is a person's value, so enough persons stand on either side of it.

    unsafe: n * min(q, 1 - q) < T
            where rows are counted up to given values, fewer than T persons between two of those that are told apart
    high:   the minimum and the maximum, always
    medium: other positions than the median and the quartiles

Source: "position" in the SDC Handbook (Griffiths et al. 2019); maxima and minima are unsafe there and in SACRO.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sojourn.analysis.support import Positions as Evidence
from sojourn.analysis.support import Thresholds
from sojourn.disclosure.output import Finding, Output, Tier
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import Mask, suppress, union
from sojourn.disclosure.thresholds import at_site, told_apart

USUAL = (0.25, 0.5, 0.75)  # what leaves without a checker


@dataclass(frozen=True)
class Positions:
    """Hides quantiles with too few persons beyond them, and counts up to a value with too few persons beside it.

    Without evidence of positions it fails, which refuses.
    """

    threshold: int
    name: ClassVar[str] = "positions"
    family: ClassVar[str] = "positions"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse extremes, hide quantiles, or release."""
        if not output.support.positions:
            raise ValueError("no evidence of positions")
        masks, tier = [], Tier.LOW
        for quantiles in output.support.positions:
            q = np.asarray(quantiles.fractions, dtype=np.float64)
            if not ((q >= 0) & (q <= 1)).all():
                raise ValueError("a fraction is from 0 to 1")
            if ((q == 0) | (q == 1)).any():
                return refuse(self.family, "a minimum or maximum")
            if not set(quantiles.fractions) <= set(USUAL):
                tier = Tier.MEDIUM
            masks.append(_over(output, quantiles, self._unsafe(quantiles.persons, q)))
        masks += [_counted(output, counted, self.threshold) for counted in output.support.thresholds]
        note = "" if tier is Tier.LOW else "other positions than median and quartiles"
        return suppress(self.family, union(masks), tier=tier, note=note)

    def _unsafe(self, persons: np.ndarray, q: np.ndarray) -> Mask:
        beyond = persons[..., None] * np.minimum(q, 1 - q)
        return np.asarray(beyond < self.threshold - 1e-9)


def _counted(output: Output, counted: Thresholds, threshold: int) -> dict[str, Mask]:
    """The mask of the counts up to given values; ValueError where the array has another shape."""
    if counted.output not in output.partial.arrays:
        return {}
    *groups, parts = counted.shape
    array = output.partial.arrays[counted.output]
    if array.shape != (*groups, parts - 1, 1) or len(counted.persons) != math.prod(counted.shape):
        raise ValueError("thresholds and array do not have the same shape")
    lines = [counted.persons[start : start + parts] for start in range(0, len(counted.persons), parts)]
    told = [told_apart(parts, at_site(line, threshold)) for line in lines]
    return {counted.output: ~np.reshape(told, array.shape)}


def _over(output: Output, quantiles: Evidence, hidden: Mask) -> dict[str, Mask]:
    """The mask of each array of this round; ValueError where one has another shape."""
    present = {name: output.partial.arrays[name] for name in quantiles.output if name in output.partial.arrays}
    if any(array.shape != hidden.shape for array in present.values()):
        raise ValueError("positions and array do not have the same shape")
    return dict.fromkeys(present, hidden)

"""Minimum frequency: a number rests on at least T persons.

    unsafe: 0 < n < T, and n = 0 unless zeros are shown
            sums of weighted values with (sum w)^2 / sum w^2 < T

n counts distinct persons, not rows; w are the weights of persons (L. Kish, Survey Sampling, 1965). Source: the
threshold rule of Hundepool et al., Statistical Disclosure Control (2012), chapter 4, and of the SDC Handbook (Griffiths
et al. 2019); T = 10 is the default of SACRO and of the ABS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sojourn.analysis.variable import SITE
from sojourn.disclosure.complement import complement
from sojourn.disclosure.output import Finding, Output, Tier
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import Mask, over, small, suppress, union


@dataclass(frozen=True)
class MinimumFrequency:
    """The population first: below T the whole output is refused, and every n from 0 to T - 1 looks the same.

    Then every table of cells: small cells are hidden in all their arrays, with their complement and under one mark.
    A table of more than `dimensions` axes is medium risk (`site` is not counted).
    """

    threshold: int
    zero_shown: bool = False
    dimensions: int = 3
    name: ClassVar[str] = "minimum frequency"
    family: ClassVar[str] = "minimum frequency"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse, hide small cells, or release."""
        if len(output.support.population) < self.threshold:
            return refuse(self.family, "the population is below the threshold")
        axes = max((len([d for d in cells.dimensions if d != SITE]) for cells in output.support.cells), default=0)
        tier = Tier.MEDIUM if axes > self.dimensions else Tier.LOW
        note = "more dimensions than leave by themselves" if tier is Tier.MEDIUM else ""
        return suppress(self.family, small_cells(output, self.threshold, self.zero_shown), tier=tier, note=note)


def small_cells(output: Output, threshold: int, zero_shown: bool) -> dict[str, Mask]:
    """The small cells of every table and their complement, as masks of this round's arrays."""
    few = [
        over(output, cells.output, complement(cells, small(cells, threshold, zero_shown), threshold, zero_shown))
        for cells in output.support.cells
    ]
    for one in output.support.effective:
        if not np.isfinite(one.numbers).all():
            raise ValueError("the evidence of the weights is not a number")
        few.append(over(output, one.output, one.numbers < threshold))
    return union(few)

"""Rounding: where a site demands it, every count is a multiple of its base or the middle of its band.

    base 5:     the nearest multiple of 5
    midpoint 6: 6 ceil(n / 6) - 3 for n > 0, and 0
    unsafe:     a count that is neither, or a total that is no sum of such

Off unless a site or its law asks. Counts are rounded before the gate looks (`perturbation.Rounding`), and totals are
sums of rounded cells, since a total rounded for itself would tell. This rule checks that it was done. Source: the
output rules of OpenSAFELY for both figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.perturbation import BASE_5, MIDPOINT_6, OFF, counted, rounded
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress

STEPS = {BASE_5: 5, MIDPOINT_6: 3}  # what sums of rounded counts are multiples of


@dataclass(frozen=True)
class Rounded:
    """Refuses counts that are not rounded; releases everything where rounding is off."""

    how: str = OFF
    name: ClassVar[str] = "rounding"
    family: ClassVar[str] = "rounding"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        if self.how != OFF:
            sums = {name: int(output.partial.arrays[name].sum()) for name in counted(output)}
            for name, total in sums.items():
                array = output.partial.arrays[name]
                of_cells = array.size == 1 and any(sums[other] == total for other in sums if other != name)
                if of_cells and total % STEPS[self.how] == 0:
                    continue
                if not np.array_equal(rounded(array, self.how), array):
                    return refuse(self.family, "a count that is not rounded")
        return suppress("", {})

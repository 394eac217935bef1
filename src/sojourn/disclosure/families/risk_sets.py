"""Risk sets: the sums of a Cox model stand at declared times, never at the persons' own event times.

    unsafe: a time that is not of the declared grid, no grid, or a group of persons leaving between two times
            with 0 < n < T (n = 0 too, unless zeros are shown), or fewer than T at risk

Two risk sets that follow each other differ by those who left in between, so their sums do too. Times are coarsened to
the grid of the plan, and groups below T merged (`survival_steps.merged`). Source: Andreux et al., arXiv:2006.08997, on
what federated Cox models share; the grouping is the same as of survival steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from sojourn.disclosure.families.survival_steps import unsafe
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class RiskSets:
    """Refuses sums over unsafe risk sets. Without evidence of risk sets it fails, which refuses."""

    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "risk sets"
    family: ClassVar[str] = "risk sets"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        sets = output.support.risk_sets
        if sets is None:
            raise ValueError("no evidence of risk sets")
        if not len(sets.times) == sets.left.size == sets.at_risk.size or any(a >= b for a, b in pairwise(sets.times)):
            raise ValueError("the evidence of the risk sets contradicts itself")
        if not sets.times or not set(sets.times) <= set(sets.grid):
            return refuse(self.family, "a time that was not declared")
        if unsafe(sets.left, sets.at_risk, self.threshold, self.zero_shown).any():
            return refuse(self.family, "too few persons between two times")
        return suppress("", {})

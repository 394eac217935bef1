"""Design support: a regression shows every level, pair of levels and level within an outcome that it has a column for.

    unsafe: any of them with 0 < n < T      (X'WX and X'y hold the sums over exactly these persons)
            a variable that is the same for everybody (its sum is everybody's value), in the words of a rare level
            leverage of a person > 1/3
            effective size of the weights (sum w)^2 / sum w^2 < T
            at the coefficients that were sent: leverage under the working weights > 1/3, or effective size of the
            working weights or of the terms of the score < T
            fewer than T clusters, where a column of them is named
            a saturated model whose rarest covariate pattern has n < T persons
            of imputed sets: two persons give > 90 % of a sum by which the sets differ, or a level that has a product
            with a drawn column has 0 < n < T persons whose draws differ
    medium: leverage of a person > 1/T

A dummy that is 1 for one person gives that person's outcome as constant + coefficient (regressions in the SDC Handbook,
Griffiths et al. 2019). Leverage h says how much of a fitted value is the person's own outcome; 1/T is the share of one
person in a mean of T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from sojourn.analysis.support import Design
from sojourn.disclosure.output import Finding, Output, Tier
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class DesignSupport:
    """Refuses a model whose design shows a few persons. Without evidence of a design it fails, which refuses."""

    threshold: int
    leverage: float = 1 / 3
    share: float = 0.9
    name: ClassVar[str] = "design support"
    family: ClassVar[str] = "design support"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release; high leverage of one person releases with medium risk."""
        design = output.support.design
        if design is None:
            raise ValueError("no evidence of the design")
        if output.support.constant:
            return refuse(self.family, f"constant: {', '.join(output.support.constant)}")
        if fault := self._fault(design) or self._unjudged(output):
            return refuse(self.family, fault)
        if design.leverage > 1 / self.threshold:
            return suppress(self.family, {}, tier=Tier.MEDIUM, note="one person's leverage is above 1/T")
        return suppress(self.family, {})

    def _unjudged(self, output: Output) -> str:
        """A round at given coefficients whose weights nobody judged may hold nothing but zeros."""
        judged = output.support.design is not None and output.support.design.working is not None
        if judged or not output.step.broadcast:
            return ""
        sums = (array for array in output.partial.arrays.values() if array.dtype.kind == "f")
        return "sums at given coefficients without evidence of their weights" if any(a.any() for a in sums) else ""

    def _fault(self, design: Design) -> str:
        """What is unsafe, for the custodian; empty where nothing is."""
        weights = math.inf if design.effective is None else design.effective
        if not math.isfinite(design.leverage) or math.isnan(weights):
            raise ValueError("the evidence of the design is not a number")
        for label, persons in design.levels.items():
            if 0 < len(persons) < self.threshold:
                return f"too few persons: {label}"
        if design.leverage > self.leverage:
            return "one person's leverage is above the limit"
        if weights < self.threshold:
            return "the weights leave too few persons"
        if design.clusters is not None and design.clusters < self.threshold:
            return "too few clusters"
        working = design.working
        if working is not None and not (math.isfinite(working.leverage) and math.isfinite(working.effective)):
            raise ValueError("the evidence of the round is not a number")
        if working is not None and (working.leverage > self.leverage or working.effective < self.threshold):
            return "at the coefficients that were sent a few persons make up the sums"
        if design.drawn is not None and not design.drawn.share <= self.share:
            return "two of those who lack a value make up what the sets differ by"
        if design.drawn is not None and design.drawn.levels is not None and design.drawn.levels < self.threshold:
            return "in a level the sets differ for too few persons"
        if design.patterns is not None and design.patterns < self.threshold:
            return "the model is saturated and has a rare pattern"
        return ""

"""Residual degrees of freedom: a model that nearly interpolates its data gives the data.

    unsafe: N - p < 10

N counts persons, p the parameters. Source: the SDC Handbook (Griffiths et al. 2019) on regressions and Ritchie's
"safe statistics": ten residual degrees of freedom is the rule of SACRO and of many research data centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.complement import complement
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import elsewhere, over, suppress, union


@dataclass(frozen=True)
class ResidualFreedom:
    """A model is refused. Without a model, each cell that measures something has its mean as the one parameter."""

    least: int
    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "residual freedom"
    family: ClassVar[str] = "residual freedom"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse a model, hide cells, or release."""
        design = output.support.design
        if design is not None:
            return refuse(self.family) if design.persons - design.parameters < self.least else suppress("", {})
        if len(output.support.population) - 1 < self.least:
            return refuse(self.family)
        masks = []
        for cells in output.support.cells:
            if cells.measures:
                counts = cells.counts()
                few = (counts - 1 < self.least) & (counts > 0) & ~elsewhere(cells, counts)
                masks.append(over(output, cells.output, complement(cells, few, self.threshold, self.zero_shown)))
        return suppress(self.family, union(masks))

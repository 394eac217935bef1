"""Correlations and tests: enough persons behind each pair, no rare level, and no matrix of made-up columns.

    unsafe: a pair of columns with n < T or n - 2 < 10 persons, or a level or group with 0 < n < T
    medium: more pairs than leave by themselves
    high:   columns that the plan itself computes make up more than one in four, with nearly all pairs of them

With many columns of the analyst's own making, means and covariances are linear equations in the rows (Huth et al.,
Bioinformatics 39(9), 2023, btad531). Source of the rest: correlations and tests in the SDC Handbook (Griffiths et al.
2019), judged like a regression's design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.output import Finding, Output, Tier
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Correlation:
    """Refuses or releases as a whole. Without evidence of pairs it fails, which refuses."""

    threshold: int
    residual: int
    most_pairs: int = 10
    name: ClassVar[str] = "correlation"
    family: ClassVar[str] = "correlation"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release; many pairs are of medium risk."""
        pairs = output.support.pairs
        if pairs is None or not pairs.persons.size:
            raise ValueError("no evidence of pairs")
        if int(pairs.persons.min()) < max(self.threshold, self.residual + 2):
            return refuse(self.family, "too few persons behind a pair")
        for label, persons in pairs.levels.items():
            if 0 < len(persons) < self.threshold:
                return refuse(self.family, f"too few persons: {label}")
        possible = pairs.columns * (pairs.columns - 1) // 2
        if 4 * pairs.constructed > pairs.columns and 10 * pairs.persons.size > 9 * possible > 9:
            return refuse(self.family, "nearly all covariances of constructed columns")
        many = pairs.persons.size > self.most_pairs
        return suppress(
            self.family, {}, tier=Tier.MEDIUM if many else Tier.LOW, note="many pairs of columns" if many else ""
        )

"""Histogram: no bin holds a few persons.

    unsafe: a bin with 0 < n < T (and n = 0 unless zeros are shown)

A bin is a cell, so the complement rule holds for bins too. Edges are declared in the plan, never computed from the
data: an edge taken from the data is a person's value. Source: graphs are judged by their numbers, SDC Handbook
(Griffiths et al. 2019), section on graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.families.minimum_frequency import small_cells
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Histogram:
    """Bins with too few persons are hidden with their complement. Without evidence of bins it fails, which refuses."""

    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "histogram"
    family: ClassVar[str] = "histogram"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Hide small bins, or release."""
        if not output.support.cells:
            raise ValueError("no evidence of bins")
        return suppress(self.family, small_cells(output, self.threshold, self.zero_shown))

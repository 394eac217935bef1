"""Survival steps: between two published steps of a curve enough persons had the event or left, and enough remain.

    unsafe: 0 < events + censorings between two published steps < T, or at risk < T
            (and nobody between two steps, unless zeros are shown)

A raw Kaplan-Meier curve has a step for each person with the event. Steps are merged until they are safe: `merged` says
which to keep. Source: survival tables in the SDC Handbook (Griffiths et al. 2019); the merging is that of life tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class SurvivalSteps:
    """Refuses a curve with an unsafe step: hiding it would tell where it is. Without evidence of steps it fails."""

    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "survival steps"
    family: ClassVar[str] = "survival steps"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        if not output.support.steps:
            raise ValueError("no evidence of steps")
        for curve in output.support.steps:
            if curve.left.shape != curve.at_risk.shape or (curve.left < 0).any() or (curve.left > curve.at_risk).any():
                raise ValueError("the evidence of the steps contradicts itself")
            if unsafe(curve.left, curve.at_risk, self.threshold, self.zero_shown).any():
                return refuse(self.family, "a step of too few persons")
        return suppress("", {})


def unsafe(left: NDArray[np.int64], at_risk: NDArray[np.int64], threshold: int, zero_shown: bool) -> NDArray[np.bool_]:
    """The published steps that tell of too few persons."""
    few = (left < threshold) & ((left > 0) | (not zero_shown))
    return np.asarray(few | (at_risk < threshold))


def merged(left: NDArray[np.int64], at_risk: NDArray[np.int64], threshold: int) -> tuple[int, ...]:
    """Which steps of one curve to keep, so that all are safe: each takes in those before it since the last one kept.

    What follows the last one kept is left out of the curve. Nothing is kept where nothing is safe.
    """
    kept, since = [], 0
    for step, persons in enumerate(left.tolist()):
        since += persons
        if since >= threshold and at_risk[step] >= threshold:
            kept.append(step)
            since = 0
    return tuple(kept)

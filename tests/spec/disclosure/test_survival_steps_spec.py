"""Survival steps

A raw survival curve falls at each person's own time. Between two published steps at least T persons must have had
the event or left, and at least T must have been at risk. Steps that are not so are merged with the next ones, in the
plan's grid of times or by the statistic itself; a curve that still has an unsafe step is refused whole, since a hidden
step would tell where it is. `left` counts events and censorings since the step before, `at risk` those just before.
"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import Steps, Support

CASES = (
    ({"left": "20, 15, 12", "at risk": "100, 80, 65"}, "released", "enough leave at every step, and enough remain"),
    ({"left": "20, 1, 12", "at risk": "100, 80, 79"}, "refused: survival steps", "a step of one person"),
    ({"left": "20, 0, 12", "at risk": "100, 80, 80"}, "refused: survival steps", "nobody looks like a few"),
    ({"left": "20, 60, 9", "at risk": "100, 80, 9"}, "refused: survival steps", "nine at risk at the last step"),
    ({"left": "20, 13", "at risk": "100, 80"}, "released", "the steps of the second example, merged"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_survival_steps(given, verdict, why, spec):
    left, at_risk = (np.array([int(n) for n in given[word].split(", ")]) for word in ("left", "at risk"))
    support = Support(BitMap(range(100)), ("time",), steps=(Steps(("survival",), left, at_risk),))
    output = spec.outputs.output({"survival": 1.0 - left / 100}, support, ("survival steps",))
    assert spec.verdict(output) == verdict

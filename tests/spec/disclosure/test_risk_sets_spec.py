"""Risk sets

A Cox model adds up over the persons at risk at each time. Two sums that follow each other differ by those who left in
between, so the times are those of the plan's grid, never the persons' own, and at least T persons leave between two of
them and are at risk at each.
"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import RiskSets, Support

CASES = (
    ({"times": "1, 2, 5", "grid": "1, 2, 5", "left": "20, 30, 15", "at risk": "90, 70, 40"}, "released", "a safe grid"),
    (
        {"times": "1, 2.37, 5", "grid": "1, 2, 5", "left": "20, 30, 15", "at risk": "90, 70, 40"},
        "refused: risk sets",
        "2.37 is somebody's own time",
    ),
    (
        {"times": "1, 2, 5", "grid": "1, 2, 5", "left": "20, 3, 15", "at risk": "90, 70, 67"},
        "refused: risk sets",
        "three persons between two sums",
    ),
    ({"times": "1, 5", "grid": "1, 2, 5", "left": "20, 18", "at risk": "90, 70"}, "released", "the same, merged"),
    (
        {"times": "1, 5", "grid": "1, 5", "left": "82, 8", "at risk": "90, 8"},
        "refused: risk sets",
        "eight at risk at the end",
    ),
)


def numbers(text: str, kind: type = float) -> list:
    return [kind(word) for word in text.split(", ")]


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_risk_sets(given, verdict, why, spec):
    left, at_risk = (np.array(numbers(given[word], int)) for word in ("left", "at risk"))
    sets = RiskSets(tuple(numbers(given["times"])), tuple(numbers(given["grid"])), left, at_risk)
    support = Support(BitMap(range(100)), ("time",), risk_sets=sets)
    output = spec.outputs.output({"score": np.zeros(2)}, support, ("risk sets",))
    assert spec.verdict(output) == verdict

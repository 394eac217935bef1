"""Correlations and tests

Behind every pair of columns stand at least T persons, and ten more than the two that a line needs. A level or group
within it holds nobody or at least T. More than ten pairs wait for a checker. Where the plan makes up more than a
quarter of the columns itself and asks for nearly all pairs of them, covariances become equations in the rows of single
persons, and nothing leaves.
"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import Pairs, Support

CASES = (
    ({"columns": 3, "made up": 0, "persons": 80, "smallest level": 12}, "released", "three pairs of 80 persons"),
    ({"columns": 2, "made up": 0, "persons": 11, "smallest level": 0}, "refused: correlation", "nine residuals"),
    ({"columns": 2, "made up": 0, "persons": 80, "smallest level": 4}, "refused: correlation", "a group of four"),
    ({"columns": 6, "made up": 0, "persons": 80, "smallest level": 0}, "refused: correlation", "15 pairs wait"),
    ({"columns": 5, "made up": 3, "persons": 80, "smallest level": 0}, "refused: correlation", "made-up columns"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_correlation(given, verdict, why, spec):
    pairs = given["columns"] * (given["columns"] - 1) // 2
    levels = {"smallest": BitMap(range(given["smallest level"]))}
    evidence = Pairs(np.full(pairs, given["persons"]), given["columns"], given["made up"], levels)
    support = Support(BitMap(range(100)), ("a", "b"), pairs=evidence)
    assert spec.verdict(spec.outputs.output({"r": np.zeros(pairs)}, support, ("correlation",))) == verdict

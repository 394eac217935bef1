"""Capacity

Whatever is computed, an analysis carries out only so many numbers: for a regression of p terms
12 (1 + p + p (p + 1) / 2) over all its rounds, otherwise the cap that it declares or the site sets. The cells of a
symmetric matrix count once. A number of d digits carries at most 3.32 d bits; the custodian sees how many. Code that
is not the product's own may give six significant digits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import Capacity, Support

CASES = (
    ({"terms": 4, "released before": 0, "now": 14, "digits": 17}, "released", "180 may go out in all"),
    ({"terms": 4, "released before": 166, "now": 14, "digits": 17}, "released", "the last round"),
    ({"terms": 4, "released before": 167, "now": 14, "digits": 17}, "refused: capacity", "181 numbers"),
    ({"terms": 0, "released before": 0, "now": 50, "digits": 17}, "released", "a cap of 100 is declared"),
    ({"terms": 0, "released before": 60, "now": 50, "digits": 17}, "refused: capacity", "110 numbers"),
    ({"terms": 0, "released before": 0, "now": 50, "digits": 7}, "refused: capacity", "another's code: seven digits"),
    ({"terms": 0, "released before": 0, "now": 50, "digits": 6}, "released", "another's code: six digits"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_capacity(given, verdict, why, spec):
    said = Capacity(given["released before"], None if given["terms"] else 100, given["digits"], given["digits"] == 17)
    if given["terms"]:
        output = spec.outputs.model(rules=("events",), parameters=given["terms"])
        output = replace(output, support=replace(output.support, capacity=said))
    else:
        support = Support(BitMap(range(100)), ("a",), capacity=said)
        output = spec.outputs.output({"x": np.zeros(given["now"])}, support, ("capacity",))
    assert spec.verdict(output) == verdict

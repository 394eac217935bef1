"""Positions

A quantile is the value of one person, or lies between two. So enough persons must stand on either side of it:
n × min(q, 1 − q) is at least T. A quantile that is not so is hidden. The minimum and the maximum are one person's
value whatever n is: they never leave by themselves, and neither do other positions than the median and the quartiles
until a checker has seen them.
"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import Positions, Support

CASES = (
    ({"persons": 100, "quantiles": "0.25, 0.5, 0.75"}, "released", "25 persons on the shorter side"),
    ({"persons": 30, "quantiles": "0.5"}, "released", "15 on either side"),
    ({"persons": 30, "quantiles": "0.25, 0.5, 0.75"}, "0.25 ■, 0.5 shown, 0.75 ■", "7.5 beyond a quartile"),
    ({"persons": 19, "quantiles": "0.5"}, "0.5 ■", "9.5 on either side of the median"),
    ({"persons": 5000, "quantiles": "0.5, 0.9"}, "refused: positions", "another position waits for a checker"),
    ({"persons": 5000, "quantiles": "0, 0.5"}, "refused: positions", "the minimum is a person's value"),
    ({"persons": 5000, "quantiles": "0.5, 1"}, "refused: positions", "so is the maximum"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_positions(given, verdict, why, spec):
    names = given["quantiles"].split(", ")
    evidence = Positions(("quantile",), tuple(map(float, names)), np.array(given["persons"]))
    support = Support(BitMap(range(given["persons"])), ("age",), positions=(evidence,))
    output = spec.outputs.output({"quantile": np.arange(float(len(names)))}, support, ("positions",))
    assert spec.shown(output, "quantile", names) == verdict

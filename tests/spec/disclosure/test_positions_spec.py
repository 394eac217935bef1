"""Positions

A quantile is the value of one person, or lies between two. So enough persons must stand on either side of it:
n × min(q, 1 − q) is at least T. A quantile that is not so is hidden. The minimum and the maximum are one person's
value whatever n is: they never leave by themselves, and neither do other positions than the median and the quartiles
until a checker has seen them.

Sites count rows up to given values rather than tell their own quantiles. Of these values only those are told between
any two of which, and beyond the first and last, at least T persons stand; the others are hidden. They are chosen by
halving the range again and again, so that the sites choose alike.
"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.support import Positions, Support, Thresholds

CASES = (
    ({"persons": 100, "quantiles": "0.25, 0.5, 0.75"}, "released", "25 persons on the shorter side"),
    ({"persons": 30, "quantiles": "0.5"}, "released", "15 on either side"),
    ({"persons": 30, "quantiles": "0.25, 0.5, 0.75"}, "0.25 ■, 0.5 shown, 0.75 ■", "7.5 beyond a quartile"),
    ({"persons": 19, "quantiles": "0.5"}, "0.5 ■", "9.5 on either side of the median"),
    ({"persons": 5000, "quantiles": "0.5, 0.9"}, "refused: positions", "another position waits for a checker"),
    ({"persons": 5000, "quantiles": "0, 0.5"}, "refused: positions", "the minimum is a person's value"),
    ({"persons": 5000, "quantiles": "0.5, 1"}, "refused: positions", "so is the maximum"),
    (
        {"persons in parts of a range": "12, 15, 30, 11"},
        "released",
        "at least T in each part",
    ),
    (
        {"persons in parts of a range": "12, 6, 5, 11"},
        "up to part 1 ■, up to part 2 shown, up to part 3 ■",
        "both halves hold enough; halved again, one would hold 6, the other 5",
    ),
    (
        {"persons in parts of a range": "40, 9, 0, 3"},
        "up to part 1 shown, up to part 2 ■, up to part 3 ■",
        "the tail of 12 is told as one",
    ),
    (
        {"persons in parts of a range": "0, 60, 0, 0"},
        "up to part 1 ■, up to part 2 ■, up to part 3 ■",
        "that all are in one part is nobody's business",
    ),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_positions(given, verdict, why, spec):
    if "persons in parts of a range" in given:
        assert spec.shown(ranged(given, spec), "below", [f"up to part {i}" for i in (1, 2, 3)]) == verdict
        return
    names = given["quantiles"].split(", ")
    evidence = Positions(("quantile",), tuple(map(float, names)), np.array(given["persons"]))
    support = Support(BitMap(range(given["persons"])), ("age",), positions=(evidence,))
    output = spec.outputs.output({"quantile": np.arange(float(len(names)))}, support, ("positions",))
    assert spec.shown(output, "quantile", names) == verdict


def ranged(given, spec):
    parts = [int(n) for n in given["persons in parts of a range"].split(", ")]
    persons = spec.outputs.disjoint(parts)
    evidence = Thresholds("below", (len(parts),), persons)
    position = Positions(("rows",), (0.5,), np.array(sum(parts)))
    support = Support(BitMap.union(BitMap(), *persons), ("age",), positions=(position,), thresholds=(evidence,))
    arrays = {"below": np.cumsum(parts)[:-1, None], "rows": np.array([sum(parts)])}
    return spec.outputs.output(arrays, support, ("positions",))

"""Histograms

A bin is a cell: it is shown with at least T persons, and complementary suppression holds for bins too. The
edges of the bins are in the plan. Edges computed from the data would be somebody's value, so the product has no
such option.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"20-40": 30, "40-60": 55, "60-80": 25}, "released", "every bin has at least T"),
    ({"20-40": 30, "40-60": 55, "60-80": 12, "over 80": 1}, "20-40 30, 40-60 55, 60-80 ■, over 80 ■", "a bin of one"),
    ({"under 20": 4, "20-60": 80, "over 60": 8}, "under 20 ■, 20-60 80, over 60 ■", "two thin tails, 12 together"),
    ({"under 20": 0, "20-60": 80, "over 60": 25}, "under 20 ■, 20-60 80, over 60 ■", "an empty bin is hidden too"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_histogram(given, verdict, why, spec):
    assert spec.table(given, ("histogram",)) == verdict

"""Dominance and p percent

A sum or a mean must not be, nearly, the value of one or two persons, however many persons there are. Two rules
look at the largest contributions, as absolute values:

- dominance (2, 90): the two largest make up more than 90 % of the total;
- p percent: what remains after the two largest is less than p % of the largest. Then the second largest person,
  who knows his own value, can estimate the largest that closely. p is confidential and never leaves a site.

A sum in a table is hidden, with a complement; a total that stands alone, or a model, is refused. In the
examples `20 × 5 + 1 × 900` is twenty persons with 5 and one with 900.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"all": "30 × 100"}, "released", "equal contributions"),
    ({"A": "30 × 100", "B": "40 × 90", "C": "35 × 80"}, "released", "no group is dominated"),
    (
        {"A": "30 × 100", "B": "20 × 1 + 1 × 90000", "C": "40 × 90"},
        "A ■, B ■, C shown",
        "one person is nearly all of B; A protects it from subtraction",
    ),
    (
        {"A": "30 × 100", "B": "20 × 1 + 1 × 500 + 1 × 400", "C": "40 × 90"},
        "A ■, B ■, C shown",
        "two persons make up 97.8 % of B",
    ),
)
P_PERCENT = (
    ({"A": "30 × 100", "B": "30 × 20 + 1 × 2000 + 1 × 1900", "C": "40 × 90"}, "released"),
    ({"A": "30 × 100", "B": "30 × 1 + 1 × 1000 + 1 × 100", "C": "40 × 90"}, "A ■, B ■, C shown"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_dominance(given, verdict, why, spec):
    assert spec.sums(given, ("dominance",)) == verdict


@pytest.mark.parametrize(("given", "verdict"), P_PERCENT)
def test_p_percent(given, verdict, spec):
    assert spec.sums(given, ("p percent",)) == verdict

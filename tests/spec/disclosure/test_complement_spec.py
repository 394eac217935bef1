"""Complementary suppression

A hidden cell must not follow from a total by subtraction. Totals are often known: they are printed beside the
table, or come with another analysis. So, in a line of a table and in the whole table, at least two cells are
hidden and at least T persons stand behind them together; the smallest shown cells are taken first. Cells that
are hidden for themselves and cells that are hidden to protect them bear the same mark, and nobody can tell
which is which. A hidden cell may therefore hold more than T - 1 persons.

This is the first line of defence. What it leaves is audited by a linear programme over everything that is published:
see the interval audit.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"A": 50, "B": 40, "C": 3}, "A 50, B ■, C ■", "C = total - A - B, so B goes too"),
    ({"A": 50, "B": 40, "C": 3, "D": 2}, "A 50, B ■, C ■, D ■", "C + D = 5: too few together"),
    ({"A": 50, "B": 40, "C": 7, "D": 6}, "A 50, B 40, C ■, D ■", "C + D = 13: enough together"),
    ({"A": 50, "B": 3}, "A ■, B ■", "a table of two cells is all or nothing"),
    (
        {"north": {"A": 3, "B": 40, "C": 50}, "south": {"A": 30, "B": 45, "C": 60}},
        "north: A ■, B ■, C 50; south: A ■, B ■, C 60",
        "a rectangle, so that neither rows nor columns give it away",
    ),
    (
        {"north": {"A": 30, "B": 40, "C": 50}, "south": {"A": 31, "B": 45, "C": 60}},
        "released",
        "nothing to protect",
    ),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_complement(given, verdict, why, spec):
    assert spec.table(given, ("minimum frequency",)) == verdict

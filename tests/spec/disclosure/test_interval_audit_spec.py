"""The interval audit

Two hidden cells in every line are not always enough. Whoever knows the shown cells and the totals can ask a linear
programme for the least and the most that a hidden cell may hold. The audit asks the same, of every hidden cell, and
hides more, the smallest that serve first, until the answer is at least T wide: from 0 to T, or from 1 to T where zeros
are shown.

Known are the shown cells, the number of all, and every total that the product would itself release of the same
persons in a table of fewer dimensions, asked now or later. A total that would be hidden there is not known here. All
numbers in the examples are audited with the totals of rows and columns.
"""

from __future__ import annotations

import pytest

CASES = (
    (
        {"north": {"A": 90, "B": 3, "C": 4}, "south": {"A": 30, "B": 25, "C": 31}, "west": {"A": 35, "B": 45, "C": 50}},
        "north: A ■, B ■, C ■; south: A ■, B ■, C ■; west: A 35, B 45, C 50",
        "a pair in each line is not enough: north's B and C together are 7, so both would be at most 7",
    ),
    (
        {
            "north": {"A": 90, "B": 3, "C": 60},
            "south": {"A": 30, "B": 25, "C": 31},
            "west": {"A": 35, "B": 45, "C": 50},
        },
        "north: A 90, B ■, C ■; south: A 30, B ■, C ■; west: A 35, B 45, C 50",
        "a rectangle whose cells may exchange 25 persons is wide enough",
    ),
    (
        {"north": {"A": 3, "B": 2}, "south": {"A": 60, "B": 50}},
        "north: A ■, B ■; south: A ■, B ■",
        "north is a row of five persons: its own total would not be shown",
    ),
    (
        {"north": {"A": 40, "B": 30}, "south": {"A": 60, "B": 50}},
        "released",
        "where nothing is hidden there is nothing to audit",
    ),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_interval_audit(given, verdict, why, spec):
    assert spec.table(given, ("minimum frequency",)) == verdict

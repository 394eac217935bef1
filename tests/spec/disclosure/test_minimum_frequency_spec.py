"""Minimum frequency

Every number rests on at least T persons. It is distinct persons that count, not rows: twenty measurements of
three patients are three persons.

The population of an analysis comes first. With fewer than T persons nothing leaves, and 0 persons look the same
as T - 1, so that nobody learns from a refusal how many there were. Then each cell of a table: a cell with fewer
than T persons is not shown in any of its numbers, neither its count nor its mean. Whether an empty cell may be
seen to be empty is a setting of its own; by default it may not. Further cells go with a hidden one: see
complementary suppression.

Of weighted sums the persons that the weights leave must be T: (sum w)² / sum w², over persons. Three of a hundred
who weigh nearly all are three.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"persons": 0}, "refused: minimum frequency", "nobody looks like nine"),
    ({"persons": 1}, "refused: minimum frequency", "one person"),
    ({"persons": 9}, "refused: minimum frequency", "one below T"),
    ({"persons": 10}, "released", "T persons"),
    ({"women": 40, "men": 30}, "released", "every cell has at least T"),
    ({"women": 10, "men": 10}, "released", "T is enough"),
    ({"never": 50, "former": 9, "current": 8}, "never 50, former ■, current ■", "two small cells, 17 persons together"),
    ({"never": 50, "former": 9, "current": 30}, "never 50, former ■, current ■", "a lone cell takes another with it"),
    ({"never": 50, "former": 0, "current": 30}, "never 50, former ■, current ■", "zero is hidden like a small number"),
)
SHOWN = ({"never": 50, "former": 0, "current": 30}, "released")


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_minimum_frequency(given, verdict, why, spec):
    assert spec.table(given, ("minimum frequency",)) == verdict


def test_a_site_may_show_zeros(spec):
    given, verdict = SHOWN
    assert spec.table(given, ("minimum frequency",), zero_shown=True) == verdict

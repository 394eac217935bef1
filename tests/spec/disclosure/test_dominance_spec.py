"""Dominance and p percent

A sum or a mean must not be, nearly, the value of one or two persons, however many persons there are. Two rules
look at the largest contributions, as absolute values:

- dominance (2, 90): the two largest make up more than 90 % of the total;
- p percent: what remains after the two largest is less than p % of the largest. Then the second largest person,
  who knows his own value, can estimate the largest that closely. p is confidential and never leaves a site.

A sum in a table is hidden, with a complement; a total that stands alone, or a model, is refused. In the
examples `20 × 5 + 1 × 900` is twenty persons with 5 and one with 900.

**Squares about a mean** are judged by the same two rules, since mean + sd √(n − 1) is nearly the value of one person
who is far out beside all others, however small his part of the sum. What each person gives is the square of his
distance from the site's own mean, over all his rows; p percent is asked of the distance, hence (1 + p / 100)² − 1 of
the square. Where they fail, squares alone are hidden, and all that follows from them (deviation, variance, standard
error, t, F, standardised difference, interval, p value); number and mean stay. Squares of a total are those of its
groups and what lies between these, which numbers and means tell; so other squares of the table are hidden too, until
what is left of each total is not one person's. Squares of yes or no follow from the mean and are not judged. A normal
model (`glm`, `elastic_net`, `lmm`) is refused where its outcome's squares, or those that a fit of the site leaves,
fail. What helps: `quantiles`, larger groups, the logarithm.
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
SQUARES = (
    ({"A": "20 × 39 + 20 × 41", "B": "20 × 38 + 20 × 42"}, "released"),
    ({"A": "20 × 39 + 20 × 41", "B": "20 × 38 + 20 × 42 + 1 × 60"}, "released"),
    ({"A": "20 × 39 + 20 × 41", "B": "20 × 39 + 20 × 41 + 1 × 60", "C": "20 × 38 + 20 × 42"}, "A ■, B ■, C shown"),
    ({"A": "20 × 39.9 + 20 × 40.1", "B": "20 × 39 + 20 × 41 + 1 × 60", "C": "20 × 38 + 20 × 42"}, "A ■, B ■, C ■"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_dominance(given, verdict, why, spec):
    assert spec.sums(given, ("dominance",)) == verdict


@pytest.mark.parametrize(("given", "verdict"), P_PERCENT)
def test_p_percent(given, verdict, spec):
    assert spec.sums(given, ("p percent",)) == verdict


@pytest.mark.parametrize(("given", "verdict"), SQUARES)
def test_squares_about_a_mean(given, verdict, spec):
    """Values of each group. C is hidden too where A adds so little that the two leave nearly one person's square."""
    assert spec.squares(given, ("dominance", "p percent")) == verdict

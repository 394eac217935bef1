"""Residual degrees of freedom

A model with almost as many parameters as persons reproduces its data, and its coefficients are the data in
another form. At least ten persons more than parameters are needed. A standard deviation has one parameter, its
mean, and so needs eleven persons.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"persons": 40, "parameters": 4}, "released", "36 degrees of freedom"),
    ({"persons": 14, "parameters": 4}, "released", "ten degrees of freedom are enough"),
    ({"persons": 14, "parameters": 5}, "refused: residual freedom", "nine are not"),
    ({"persons": 14, "parameters": 14}, "refused: residual freedom", "a saturated model"),
)
DEVIATIONS = (
    ({"A": 40, "B": 11, "C": 20}, "released"),
    ({"A": 40, "B": 10, "C": 20}, "A 40, B ■, C ■"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_residual_freedom(given, verdict, why, spec):
    assert spec.model(given, ("residual freedom",)) == verdict


@pytest.mark.parametrize(("given", "verdict"), DEVIATIONS)
def test_a_standard_deviation_needs_eleven(given, verdict, spec):
    assert spec.table(given, ("residual freedom",), measures=("age",)) == verdict

"""Parameters to observations

A model may have at most 0.33 parameters for each person. The rule is DataSHIELD's.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"persons": 200, "parameters": 4}, "released", "0.02"),
    ({"persons": 100, "parameters": 33}, "released", "0.33 is allowed"),
    ({"persons": 100, "parameters": 34}, "refused: parameters to observations", "0.34"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_parameters_to_observations(given, verdict, why, spec):
    assert spec.model(given, ("parameters to observations",)) == verdict

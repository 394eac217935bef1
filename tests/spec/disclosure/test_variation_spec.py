"""Variation

If a variable has the same value for everybody, its mean is everybody's value. Such an analysis is refused. The
refusal does not say which value it is.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"constant": ()}, "released", "every variable varies"),
    ({"constant": ("smoker",)}, "refused: no variation", "everybody smokes, or nobody does"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_variation(given, verdict, why, spec):
    assert spec.model(given, ("variation",)) == verdict

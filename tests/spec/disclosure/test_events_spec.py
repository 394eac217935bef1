"""Events

A model of a yes-or-no outcome rests on its rarer kind: with eight healthy among a hundred sick, the eight
decide. At least T persons of the rarer kind are needed, and at least two for each parameter. A continuous
outcome has no events.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"events": 60, "parameters": 4}, "released", "enough of both kinds"),
    ({"events": 10, "parameters": 4}, "released", "T events"),
    ({"events": 9, "parameters": 4}, "refused: events", "fewer than T"),
    ({"events": 20, "parameters": 10}, "released", "two for each parameter"),
    ({"events": 19, "parameters": 10}, "refused: events", "fewer than two for each parameter"),
    ({"events": None, "parameters": 4}, "released", "a continuous outcome"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_events(given, verdict, why, spec):
    assert spec.model(given, ("events",)) == verdict

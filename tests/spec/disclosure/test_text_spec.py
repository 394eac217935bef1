"""Labels

A typed output carries numbers. The labels beside them are the plan's declared levels, which each site compares with its
own dictionary, so no label can come from the data. Every axis of a table must be a declared variable with as many
places as it has levels, and no label is longer than 80 characters. Free text never leaves by itself.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"axis": "sex", "places": 2, "longest label": 6}, "released", "two declared levels"),
    ({"axis": "sex", "places": 3, "longest label": 6}, "refused: text", "a place more than levels"),
    ({"axis": "name", "places": 2, "longest label": 6}, "refused: text", "no declared variable"),
    ({"axis": "sex", "places": 2, "longest label": 81}, "refused: text", "a label of 81 characters"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_text(given, verdict, why, spec):
    variables = {"sex": spec.outputs.category(("male", "f" * given["longest label"]))}
    output = spec.outputs.table(
        [60] * given["places"], dimensions=(given["axis"],), variables=variables, rules=("text",)
    )
    assert spec.verdict(output) == verdict

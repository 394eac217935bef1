"""Rounding

Off unless a site or its law asks. Then every count of persons is rounded before the gate looks at it: to the nearest
multiple of 5, or to the middle of its band of six (1 to 6 is 3, 7 to 12 is 9). Totals are sums of rounded cells, and
rates come from rounded counts. What is small is hidden by its true count. Sums and models are not rounded. A rounded
release says so in its header.
"""

from __future__ import annotations

import pytest

from sojourn.disclosure.gate import release
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy

CASES = (
    ({"rounding": "off", "A": 62, "B": 48}, "A 62, B 48", "as they are"),
    ({"rounding": "base 5", "A": 62, "B": 48}, "A 60, B 50", "the nearest multiples of 5"),
    ({"rounding": "midpoint 6", "A": 62, "B": 48}, "A 63, B 45", "61 to 66 is 63, 43 to 48 is 45"),
    ({"rounding": "base 5", "A": 62, "B": 48, "C": 9}, "A 60, B ■, C ■", "9 would be 10, and is hidden all the same"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_rounding(given, verdict, why, spec):
    counts = {level: n for level, n in given.items() if level != "rounding"}
    policy = StandardPolicy(Parameters(rounding=given["rounding"]))
    cleared = release(spec.outputs.table(list(counts.values())), policy, spec.outputs.HEADER)
    cells = zip(counts, cleared.partial["count"].tolist(), cleared.partial.hidden("count").tolist(), strict=True)
    assert ", ".join(f"{level} {'■' if hidden else n}" for level, n, hidden in cells) == verdict
    words = {"off": "", "base 5": "counts rounded: base 5", "midpoint 6": "counts rounded: midpoint 6"}
    assert cleared.header.treatment == words[given["rounding"]]

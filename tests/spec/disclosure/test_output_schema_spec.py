"""Form of an output

An output has exactly the arrays that its analysis declares in the plan: the same names, shapes and types, and
finite numbers. Anything else could carry what nobody judged. An analysis that names no rules, or one that does
not exist, is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sojourn.analysis.partial import Partial

CASES = (
    ("as declared", "released", "the declared form"),
    ("an array too many", "refused: output schema", "nobody judged it"),
    ("an array too few", "refused: output schema", "the plan declares it"),
    ("another shape", "refused: output schema", "the plan declares it"),
    ("another type", "refused: output schema", "only whole and real numbers of 64 bits"),
    ("a number that is not finite", "refused: output schema", "it could carry hidden bits"),
    ("no rule named", "refused: output schema", "nothing would be asked"),
    ("an unknown rule named", "refused: output schema", "it cannot be asked"),
)
COUNTS = np.array([40, 30])
ARRAYS = {
    "as declared": {"count": COUNTS},
    "an array too many": {"count": COUNTS, "note": np.array([7])},
    "an array too few": {},
    "another shape": {"count": COUNTS[:, None]},
    "another type": {"count": COUNTS.astype(np.float32)},
    "a number that is not finite": {"count": np.array([40.0, np.nan])},
    "no rule named": {"count": COUNTS},
    "an unknown rule named": {"count": COUNTS},
}
RULES = {"no rule named": (), "an unknown rule named": ("minimum frequency", "luck")}


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_output_schema(given, verdict, why, spec):
    output = spec.outputs.table(COUNTS, rules=RULES.get(given, ("minimum frequency",)))
    assert spec.verdict(replace(output, partial=Partial(ARRAYS[given]))) == verdict

"""Two values never look like three, wherever they are seen; three and more nearly always do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.values import BINS, HASHES, bins_hit

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def three(hit: int) -> bool:
    """Whether all bins of some hash are hit."""
    return any(hit >> (BINS * number) & (2**BINS - 1) == 2**BINS - 1 for number in range(HASHES))


@given(FINITE, FINITE, st.lists(st.booleans(), max_size=30))
def test_two_values_are_never_three(one, other, which):
    values = np.array([one if first else other for first in which], dtype=float)
    assert not three(bins_hit(values))
    parts = bins_hit(values[: len(values) // 2]) | bins_hit(values[len(values) // 2 :])
    assert parts == bins_hit(values)  # sites that add what they hit see what one table would


def test_values_that_differ_by_rounding_are_one():
    assert bins_hit(np.array([0.1 + 0.2])) == bins_hit(np.array([0.3]))
    assert bins_hit(np.array([-0.0])) == bins_hit(np.array([0.0]))


def test_three_values_are_nearly_always_told_from_two():
    draw = np.random.default_rng(1)
    assert np.mean([three(bins_hit(draw.normal(size=3))) for _ in range(500)]) > 0.95
    assert all(three(bins_hit(draw.normal(size=10))) for _ in range(200))
    assert bins_hit(np.zeros(0)) == 0

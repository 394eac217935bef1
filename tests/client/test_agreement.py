"""The researcher's own estimate against the hub's: the same to a relative difference, as NumPy would say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sojourn.client.verification import RELATIVE, _same

NUMBERS = st.floats() | st.integers(-(10**20), 10**20)


@given(ours=st.floats(), other=NUMBERS, off=st.floats(-3, 3))
def test_two_numbers_are_the_same_where_numpy_says_so(ours: float, other: float, off: float) -> None:
    with np.errstate(all="ignore"):
        for theirs in (other, ours * (1 + off * RELATIVE), ours):
            assert _same(ours, theirs) == bool(np.isclose(ours, theirs, rtol=RELATIVE, atol=0.0))


def test_a_whole_number_beyond_all_floats_is_another() -> None:
    assert not _same(1.0, 10**400)

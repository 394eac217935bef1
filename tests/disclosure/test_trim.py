"""Trimming: afterwards the population is known, or far from everything that is; the same persons go each time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.known import Sets
from sojourn.disclosure.trim import trim

KEY = b"k" * 32


def near(one: BitMap, other: BitMap, threshold: int) -> bool:
    return one != other and len(one - other) < threshold and len(other - one) < threshold


@settings(max_examples=60, deadline=None)
@given(
    holes=st.lists(st.sets(st.integers(0, 119), max_size=12), max_size=5),
    own=st.sets(st.integers(0, 119), max_size=12),
    threshold=st.integers(2, 6),
)
def test_what_is_left_is_known_or_far_from_everything(holes, own, threshold):
    everybody = BitMap(range(120))
    known = [everybody - BitMap(hole) for hole in {frozenset(hole) for hole in holes}]
    population = everybody - BitMap(own)
    gone = trim(population, Sets().plus(known), threshold, KEY)
    if gone is None:
        return
    assert gone.issubset(population)
    left = population - gone
    assert not any(near(left, other, threshold) for other in known)
    assert gone == trim(population, Sets().plus(known), threshold, KEY)


def test_nobody_goes_where_nothing_is_near():
    assert trim(BitMap(range(100)), Sets().plus([BitMap(range(50))]), 10, KEY) == BitMap()
    assert trim(BitMap(range(100)), Sets().plus([BitMap(range(100))]), 10, KEY) == BitMap()


def test_a_known_set_inside_is_taken_as_it_is():
    known = Sets().plus([BitMap(range(97))])
    assert trim(BitMap(range(100)), known, 10, KEY) == BitMap([97, 98, 99])


def test_three_who_lack_a_value_become_ten():
    """Of 97 complete cases beside a known hundred seven more go, and others under another key."""
    known = Sets().plus([BitMap(range(100))])
    gone = trim(BitMap(range(97)), known, 10, KEY)
    assert gone is not None and len(gone) == 7
    assert gone != trim(BitMap(range(97)), known, 10, b"l" * 32)

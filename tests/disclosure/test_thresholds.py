"""Counts up to a value: enough persons between any two that are told apart, at one site and over several."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.thresholds import halves, told_apart, unions

PARTS = st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=2, max_size=40)


def between(persons, told):
    ends = [0, *(np.flatnonzero(told) + 1).tolist(), len(persons)]
    return [len(BitMap.union(BitMap(), *persons[a:b])) for a, b in pairwise(ends)]


def chosen(persons, threshold):
    return told_apart(np.array([len(piece) >= threshold for piece in unions(persons)]), len(persons))


@settings(max_examples=300, deadline=None)
@given(PARTS, st.integers(1, 20))
def test_between_two_values_are_enough_persons(rows, threshold):
    persons = [BitMap(part) for part in rows]
    told = chosen(persons, threshold)
    assert not told.any() or min(between(persons, told)) >= threshold


@settings(max_examples=100, deadline=None)
@given(PARTS, st.data(), st.integers(1, 8))
def test_what_several_sites_tell_is_enough_at_each(rows, data, threshold):
    one = [BitMap(part) for part in rows]
    other = [BitMap(data.draw(st.lists(st.integers(0, 60), max_size=12))) for _ in rows]
    told = chosen(one, threshold) & chosen(other, threshold)
    assert not told.any() or min(*between(one, told), *between(other, told)) >= threshold


@settings(max_examples=100, deadline=None)
@given(PARTS, st.integers(1, 20))
def test_pieces_and_their_persons(rows, threshold):
    persons = [BitMap(part) for part in rows]
    pieces = halves(len(persons))
    assert pieces[0] == (0, len(persons))
    assert {(i, i + 1) for i in range(len(persons))} <= set(pieces)
    assert len(pieces) == 2 * len(persons) - 1
    for (first, end), found in zip(pieces, unions(persons), strict=True):
        assert found == BitMap.union(BitMap(), *persons[first:end])


def test_many_in_every_part_tell_all_and_a_long_tail_does_not_hide_the_body():
    assert chosen([BitMap(range(20 * i, 20 * i + 20)) for i in range(7)], 10).all()
    body = [BitMap(range(20 * i, 20 * i + 20)) for i in range(8)]
    tail = [BitMap([1000 + i]) for i in range(24)]
    told = chosen([*body, *tail], 10)
    assert told[:7].all()
    assert told[8:].sum() == 1  # two tens in the tail


def test_everybody_at_one_value_tells_nothing():
    assert not chosen([BitMap(), BitMap(range(100)), BitMap()], 10).any()


def test_bits_must_be_of_this_range():
    with pytest.raises(ValueError, match="bit"):
        told_apart(np.ones(4, dtype=bool), 4)

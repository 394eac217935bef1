"""Counts up to a value: enough persons between any two that are told apart, at one site and over several."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.thresholds import at_site, stretches, together, told_apart

PARTS = st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=2, max_size=40)


def between(persons, told):
    ends = [0, *(np.flatnonzero(told) + 1).tolist(), len(persons)]
    return [len(BitMap.union(BitMap(), *persons[a:b])) for a, b in pairwise(ends)]


def chosen(persons, threshold):
    return told_apart(len(persons), at_site(persons, threshold))


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
def test_bits_of_all_stretches_choose_as_the_persons_do(rows, threshold):
    persons = [BitMap(part) for part in rows]
    bits = {stretch: len(together(persons[slice(*stretch)])) >= threshold for stretch in stretches(len(persons))}
    assert (told_apart(len(persons), lambda *stretch: bits[stretch]) == chosen(persons, threshold)).all()


@pytest.mark.parametrize("parts", [2, 3, 16, 17])
def test_every_value_is_told_where_all_parts_are_large(parts):
    assert chosen([BitMap(range(20 * i, 20 * i + 20)) for i in range(parts)], 10).all()


def test_a_long_tail_does_not_hide_the_body():
    body = [BitMap(range(20 * i, 20 * i + 20)) for i in range(8)]
    tail = [BitMap([1000 + i]) for i in range(24)]
    told = chosen([*body, *tail], 10)
    assert told[:7].all()
    assert told[8:].sum() == 1  # two tens in the tail


def test_everybody_at_one_value_tells_nothing():
    assert not chosen([BitMap(), BitMap(range(100)), BitMap()], 10).any()

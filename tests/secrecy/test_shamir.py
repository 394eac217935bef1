"""Shares against plain arithmetic, what few of them tell, and what is no share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluated_shares import seeded
from sojourn.secrecy.shamir import PRIME, consistent, deal, field, pack, recombine, times, uniform, unpack

ELEMENTS = st.lists(st.integers(-(2**31) + 2, 2**31 - 2), min_size=1, max_size=20)


@given(ELEMENTS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32))
def test_any_enough_shares_give_the_numbers_and_sums_of_shares_are_shares_of_sums(values, degree, spare, seed):
    one = field(np.array(values))
    shares = deal(one, degree, degree + 1 + spare, seeded(seed))
    some = {place: shares[place - 1] for place in range(1 + spare, degree + 2 + spare)}
    assert np.array_equal(recombine(some), one)
    assert consistent(dict(enumerate(shares, start=1)), degree)
    other = deal(one, degree, degree + 1 + spare, seeded(seed + 1))
    added = {place: (some[place] + other[place - 1]) % PRIME for place in some}
    assert np.array_equal(recombine(added), field(2 * np.array(values)))


@given(ELEMENTS, ELEMENTS)
def test_products_are_those_of_whole_numbers(left, right):
    size = min(len(left), len(right))
    exact = [a * b % PRIME for a, b in zip(left[:size], right[:size], strict=True)]
    assert times(field(np.array(left[:size])), field(np.array(right[:size]))).tolist() == exact


@pytest.mark.parametrize("value", [0, 1, 9, PRIME - 1])
def test_shares_of_as_many_as_the_degree_are_uniform_whatever_the_number(value):
    """Two of five parties: each share, and both together, spread evenly over the field."""
    values = np.full(40_000, value, dtype=np.uint64)
    first, second = deal(values, 2, 5, seeded(7))[1:3]
    for share in (first, second):
        assert _even((share * np.uint64(64) // np.uint64(PRIME)).astype(int), 64)
    both = (first * np.uint64(8) // np.uint64(PRIME)) * np.uint64(8) + second * np.uint64(8) // np.uint64(PRIME)
    assert _even(both.astype(int), 64)


def test_the_chi_square_finds_a_degree_that_is_too_low():
    """The planted defect of the test above: with degree 1 two parties' shares lie on a line through the number."""
    values = np.full(40_000, 9, dtype=np.uint64)
    first, second = deal(values, 1, 5, seeded(7))[1:3]
    both = (first * np.uint64(8) // np.uint64(PRIME)) * np.uint64(8) + second * np.uint64(8) // np.uint64(PRIME)
    assert not _even(both.astype(int), 64)


def _even(places: np.ndarray, size: int) -> bool:
    return stats.chisquare(np.bincount(places, minlength=size)).pvalue > 1e-4


def test_what_is_drawn_is_in_the_field_and_the_number_beyond_it_is_drawn_again():
    drawn = iter([b"\xff\xff\xff\x7f" + b"\x01\x00\x00\x80", b"\xff\xff\xff\xff", b"\x05\x00\x00\x00"])
    assert uniform(2, lambda _: next(drawn)).tolist() == [5, 1]


@given(st.binary(max_size=40), st.integers(0, 10))
def test_bytes_are_shares_of_that_size_and_range_or_nothing(raw, count):
    if len(raw) == 4 * count and (np.frombuffer(raw, dtype="<u4") < PRIME).all():
        assert pack(unpack(raw, count)) == raw
    else:
        with pytest.raises(ValueError, match=r"^[a-z ]+$"):
            unpack(raw, count)


def test_too_few_parties_are_refused_and_wrong_shares_are_seen():
    with pytest.raises(ValueError, match="cannot recombine"):
        deal(np.zeros(1, dtype=np.uint64), 3, 3)
    shares = dict(enumerate(deal(np.array([4], dtype=np.uint64), 1, 3, seeded(1)), start=1))
    shares[2] = (shares[2] + 1) % PRIME
    assert not consistent(shares, 1)

"""Sums in the ring are exact, whatever the numbers and their order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.secrecy.ring import (
    RANGE,
    Ring,
    add,
    allowed,
    decode,
    encode,
    from_bytes,
    minus,
    plus,
    to_bytes,
    uniform,
    vetoed,
    without_veto,
)

PARTIES = st.integers(1, 50)


def integers(ring: Ring) -> list[int]:
    """The elements as Python's own integers, signed."""
    values = [int(low) | int(high) << 64 for low, high in ring]
    return [value - 2**128 if value >> 127 else value for value in values]


def nearest(number: float) -> int:
    """The fixed point of a number, by exact arithmetic."""
    return round(Fraction(number) * 2**64)


@st.composite
def rows(draw: st.DrawFn, numbers: st.SearchStrategy[float] | None = None) -> list[list[float]]:
    """One list of numbers for each of some parties."""
    parties, length = draw(PARTIES), draw(st.integers(0, 4))
    most = math.nextafter(RANGE / parties, 0)
    numbers = st.floats(-most, most) if numbers is None else numbers
    return draw(st.lists(st.lists(numbers, min_size=length, max_size=length), min_size=parties, max_size=parties))


@given(rows())
def test_a_sum_is_the_exact_sum_of_the_fixed_points_correctly_rounded(given_rows: list[list[float]]) -> None:
    total = add(encode(np.array(row, dtype=np.float64), len(given_rows)) for row in given_rows)
    exact = [sum(map(nearest, column)) for column in zip(*given_rows, strict=True)]
    assert integers(total) == exact
    assert decode(total, np.float64).tolist() == [float(Fraction(number, 2**64)) for number in exact]


@given(rows(st.integers(-(10**8), 10**8).map(lambda n: n * 2.0**-30)))
def test_numbers_of_ordinary_size_sum_to_what_fsum_says(given_rows: list[list[float]]) -> None:
    total = add(encode(np.array(row, dtype=np.float64), len(given_rows)) for row in given_rows)
    assert decode(total, np.float64).tolist() == [math.fsum(column) for column in zip(*given_rows, strict=True)]


@given(st.data(), PARTIES)
def test_whole_numbers_are_exact(data: st.DataObject, parties: int) -> None:
    most = (RANGE - 1) // parties
    numbers = data.draw(st.lists(st.integers(-most, most), min_size=parties, max_size=parties))
    total = add(encode(np.array([number, 1]), parties) for number in numbers)
    assert decode(total, np.int64).tolist() == [sum(numbers), parties]


@given(st.integers(-(2**127), 2**127 - 1), st.integers(-(2**127), 2**127 - 1))
def test_limbs_carry_and_borrow(one: int, other: int) -> None:
    a, b = (np.array([[n % 2**64, (n >> 64) % 2**64]], dtype=np.uint64) for n in (one, other))
    for work, result in ((plus, one + other), (minus, one - other)):
        total = a.copy()
        work(total, b)
        assert (integers(total)[0] - result) % 2**128 == 0


@given(st.integers(-(RANGE * 2**64) + 1, RANGE * 2**64 - 1))
@example((2**63 + 2**10) * 2**30 + 1)  # a tie but for its last bit
@example(-(2**63 + 2**10) * 2**61 - 1)
@example((2**63 + 2**10) * 2**30)
@example((2**63 + 3 * 2**10) * 2**30)
@example(RANGE * 2**64 - 1 - 2**72)  # the magnitude's high limb rounds up to the next power
def test_decoding_rounds_once(number: int) -> None:
    ring = np.array([[number % 2**64, (number >> 64) % 2**64]], dtype=np.uint64)
    assert decode(ring, np.float64)[0] == number / 2**64


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, RANGE / 3, -RANGE / 3, 1e300])
def test_numbers_that_cannot_be_added_are_refused_without_being_named(bad: float) -> None:
    with pytest.raises(ValueError, match="too large") as caught:
        encode(np.array([1.0, bad]), 3)
    assert str(bad) not in str(caught.value)


@pytest.mark.parametrize("bad", [RANGE // 4, -RANGE // 4, 2**63 - 1, -(2**63)])
def test_whole_numbers_too_large_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="too large"):
        encode(np.array([bad]), 4)
    encode(np.array([RANGE // 4 - 1, 1 - RANGE // 4]), 4)


@pytest.mark.parametrize("bad", [np.array(["1"]), np.array([1j]), np.array([None])])
def test_only_numbers_have_a_place_in_the_ring(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="only numbers"):
        encode(bad, 3)


def test_a_sum_out_of_range_is_no_number() -> None:
    for limbs in ([0, 2**62], [0, 2**63], [2**62, 0], [2**63, 2**64 - 1], [0, 1]):
        ring = np.array([limbs], dtype=np.uint64)
        kinds = [np.int64] if limbs in ([2**62, 0], [2**63, 2**64 - 1], [0, 1]) else [np.int64, np.float64]
        for kind in kinds:
            with pytest.raises(ValueError, match="out of range"):
                decode(ring, kind)


def test_vectors_of_other_shapes_are_refused() -> None:
    ring = encode([1, 2], 3)
    for bad in ([], [ring, ring[:1]], [ring.astype(np.int64)], [ring[:, 0]]):
        with pytest.raises(ValueError):  # noqa: PT011
            add(bad)
    with pytest.raises(ValueError, match="16 bytes"):
        from_bytes(bytes(17))


def test_bytes_come_back() -> None:
    ring = uniform(100)
    assert len(to_bytes(ring)) == 1600
    assert (from_bytes(to_bytes(ring)) == ring).all()
    assert to_bytes(encode([1], 3)) == b"\1" + bytes(15)


def test_one_veto_leaves_no_sum() -> None:
    ring = encode([1.5, 2.5], 3)
    total = without_veto(add([allowed(ring)] * 3))
    assert total is not None
    assert decode(total, np.float64).tolist() == [4.5, 7.5]
    assert without_veto(add([allowed(ring), vetoed(2), allowed(ring)])) is None
    with pytest.raises(ValueError, match="veto"):
        without_veto(uniform(0))

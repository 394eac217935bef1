"""Numbers in the ring of the integers modulo 2^128, where sums are exact and masks are uniform.

An element is two limbs of 64 bits, low and high, in two's complement. A whole number stands for itself, a float x for
the integer nearest to x * 2^64: exactly, where x has no bit below 2^-64. Whoever adds n encoded vectors gets the
encoding of their exact sum, in any order, as long as no number reaches 2^62 / n, which `encode` refuses.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ring = NDArray[np.uint64]
"""(numbers, 2): low limbs, high limbs."""

FRACTION = 64
"""Bits of a float behind the point."""
RANGE = 2**62
"""No sum reaches this, in magnitude."""
ELEMENT = 16
"""Bytes of one number on the wire: little-endian, low limb first."""
_BLOCK = 8192  # numbers that are worked on while they are in the processor's cache


def encode(array: ArrayLike, parties: int) -> Ring:
    """The numbers of an array, in C order, for a sum over so many parties: integers as they are, floats in fixed point.

    ValueError, without the number, for one that is not finite or whose magnitude reaches 2^62 / parties.
    """
    numbers = np.ravel(np.asarray(array))
    if parties < 1:
        raise ValueError("a sum has at least one party")
    if numbers.dtype.kind == "f":
        return _fixed(numbers.astype(np.float64, copy=False), RANGE / parties)
    if numbers.dtype.kind not in "iub":
        raise ValueError("only numbers can be added")
    return _whole(numbers, (RANGE - 1) // parties)


@overload
def decode(ring: Ring, dtype: type[np.float64]) -> NDArray[np.float64]: ...
@overload
def decode(ring: Ring, dtype: type[np.int64]) -> NDArray[np.int64]: ...
def decode(ring: Ring, dtype: type[np.float64] | type[np.int64]) -> NDArray[np.float64] | NDArray[np.int64]:
    """The numbers of a sum: int64 exactly, float64 correctly rounded.

    ValueError where a number reaches 2^62: then masks did not cancel, or a party sent what `encode` does not make.
    """
    low, high = ring[:, 0], ring[:, 1]
    if dtype is np.int64:
        numbers = low.view(np.int64) if low.flags.c_contiguous else low.copy().view(np.int64)
        if (high != (numbers >> 63).view(np.uint64)).any() or (np.abs(numbers.clip(-RANGE)) >= RANGE).any():
            raise ValueError("a sum is out of range")
        return numbers
    negative = high >> np.uint64(63) != 0
    low, high = _negated(low, high, negative)
    if (high >= RANGE).any():
        raise ValueError("a sum is out of range")
    magnitude = _rounded(low, high)
    return np.where(negative, -magnitude, magnitude)


def add(rings: Iterable[Ring]) -> Ring:
    """The sum of one or more vectors of the same length; ValueError otherwise."""
    total: Ring | None = None
    for ring in rings:
        if total is None:
            total = _checked(ring).copy()
        elif ring.shape != total.shape:
            raise ValueError("vectors of different lengths cannot be added")
        else:
            plus(total, ring)
    if total is None:
        raise ValueError("there is nothing to add")
    return total


def plus(total: Ring, ring: Ring) -> None:
    """Add to `total` in place."""
    total[:, 0] += ring[:, 0]
    total[:, 1] += total[:, 0] < ring[:, 0]
    total[:, 1] += ring[:, 1]


def minus(total: Ring, ring: Ring) -> None:
    """Subtract from `total` in place."""
    total[:, 1] -= total[:, 0] < ring[:, 0]
    total[:, 0] -= ring[:, 0]
    total[:, 1] -= ring[:, 1]


def to_bytes(ring: Ring) -> bytes:
    """16 bytes a number."""
    return _checked(ring).astype("<u8", copy=False).tobytes()


def from_bytes(data: bytes) -> Ring:
    """What `to_bytes` wrote; ValueError for a length that is none of whole numbers."""
    if len(data) % ELEMENT:
        raise ValueError(f"numbers of the ring have {ELEMENT} bytes each")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def uniform(numbers: int) -> Ring:
    """Fresh random elements."""
    return from_bytes(secrets.token_bytes(ELEMENT * numbers))


def allowed(ring: Ring) -> Ring:
    """A vector that may join the sum: with one element more, the veto, which is zero."""
    return np.concatenate([_checked(ring), np.zeros((1, 2), dtype=np.uint64)])


def vetoed(numbers: int) -> Ring:
    """In place of a vector of so many numbers that may not leave: all random, so that no sum with it tells anything."""
    return uniform(numbers + 1)


def without_veto(total: Ring) -> Ring | None:
    """The numbers of a sum of `allowed` vectors; None where somebody vetoed (missed once in 2^128 times)."""
    if not len(_checked(total)):
        raise ValueError("a sum has a veto")
    return None if total[-1].any() else total[:-1]


def _fixed(numbers: NDArray[np.float64], below: float) -> Ring:
    ring = np.empty((len(numbers), 2), dtype=np.uint64)
    for start in range(0, len(numbers), _BLOCK):
        part = numbers[start : start + _BLOCK]
        magnitude = np.abs(part)
        if not (magnitude < below).all():  # NaN is not below either
            raise ValueError("a number is not finite or too large to be added under masks")
        # Both parts are exact: the fraction keeps the lowest bits of the same significand.
        whole = magnitude.astype(np.uint64)
        low = np.rint((magnitude - whole) * 2.0**FRACTION).astype(np.uint64)
        ring[start : start + _BLOCK, 0], ring[start : start + _BLOCK, 1] = _negated(low, whole, part < 0)
    return ring


def _whole(numbers: NDArray[np.int64] | NDArray[np.uint64] | NDArray[np.bool_], most: int) -> Ring:
    if (numbers > most).any() or (numbers.dtype.kind == "i" and (numbers < -most).any()):
        raise ValueError("a number is too large to be added under masks")
    signed = numbers.astype(np.int64)
    ring = np.empty((len(signed), 2), dtype=np.uint64)
    ring[:, 0], ring[:, 1] = signed.view(np.uint64), (signed >> 63).view(np.uint64)
    return ring


def _negated(low: Ring, high: Ring, where: NDArray[np.bool_]) -> tuple[Ring, Ring]:
    """Two's complement of both limbs, where asked: -x = ~x + 1 = ~(x - 1)."""
    flip = np.uint64(0) - where.astype(np.uint64)
    new_low = (low ^ flip) - flip
    return new_low, (high ^ flip) + (where & (low == 0))


def _rounded(low: Ring, high: Ring) -> NDArray[np.float64]:
    """high + low / 2^64 to the nearest float64, ties to even, by its leading 64 bits and whether any bit follows."""
    shift = np.frexp(high.astype(np.float64))[1].astype(np.uint64)  # bits of `high`, or one more
    up = np.uint64(64) - shift
    leading = np.where(shift > 0, high << (up & np.uint64(63)) | low >> (shift & np.uint64(63)), low)
    follows = (low << (up & np.uint64(63)) != 0) & (shift > 0)
    return np.asarray(np.ldexp((leading | follows).astype(np.float64), shift.astype(np.int64) - FRACTION))


def _checked(ring: Ring) -> Ring:
    if ring.dtype != np.uint64 or ring.ndim != 2 or ring.shape[1] != 2:
        raise ValueError("numbers of the ring are two limbs of 64 bits each")
    return ring

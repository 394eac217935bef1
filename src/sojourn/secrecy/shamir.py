"""Shamir's secret sharing over the field of 2^31 - 1 elements, for many numbers at once.

A number is the value at 0 of a random polynomial of degree t; party i holds its value at i. Any t parties know nothing,
any t + 1 know all (A. Shamir, Communications of the ACM 22, 1979). Sums of shares are shares of sums.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

PRIME = 2**31 - 1
Field = NDArray[np.uint64]  # elements 0 .. PRIME - 1; a product of two fits into 64 bits
Random = Callable[[int], bytes]
_WIDTH = 4  # bytes of an element
_P = np.uint64(PRIME)


def field(values: NDArray[np.int64]) -> Field:
    """Whole numbers as elements of the field, negative ones from its end."""
    return np.asarray(np.asarray(values, dtype=np.int64) % PRIME).astype(np.uint64)


def times(left: Field, right: Field) -> Field:
    """Products, number by number."""
    return np.asarray(left * right % _P)


def uniform(count: int, random: Random = secrets.token_bytes) -> Field:
    """Elements drawn uniformly. random: gives so many random bytes."""
    drawn = _below(random(_WIDTH * count))
    while (again := np.flatnonzero(drawn == _P)).size:
        drawn[again] = _below(random(_WIDTH * again.size))
    return drawn


def _below(raw: bytes) -> Field:
    return np.frombuffer(raw, dtype="<u4").astype(np.uint64) & _P


def deal(values: Field, degree: int, parties: int, random: Random = secrets.token_bytes) -> list[Field]:
    """One share of each number for each of the parties 1 .. `parties`. ValueError where they could not recombine."""
    if not 0 <= degree < parties:
        raise ValueError("so many parties cannot recombine shares of this degree")
    coefficients = uniform(degree * len(values), random).reshape(degree, len(values))
    shares = []
    for party in range(1, parties + 1):
        share = np.zeros(len(values), dtype=np.uint64)
        for coefficient in coefficients:  # Horner's scheme
            share = (share + coefficient) * np.uint64(party) % _P
        shares.append((share + values) % _P)
    return shares


def weights(points: tuple[int, ...], at: int = 0) -> list[int]:
    """Lagrange's weights: the value at `at` of a polynomial from its values at these points."""
    found = []
    for i in points:
        top, bottom = 1, 1
        for j in points:
            if j != i:
                top, bottom = top * (at - j) % PRIME, bottom * (i - j) % PRIME
        found.append(top * pow(bottom, -1, PRIME) % PRIME)
    return found


def recombine(shares: Mapping[int, Field], at: int = 0) -> Field:
    """The numbers from the shares of all these parties, whose polynomials are of a lower degree than their number."""
    points = tuple(sorted(shares))
    total = np.zeros(len(shares[points[0]]), dtype=np.uint64)
    for point, weight in zip(points, weights(points, at), strict=True):
        total += shares[point] * np.uint64(weight) % _P
    return np.asarray(total % _P)


def consistent(shares: Mapping[int, Field], degree: int) -> bool:
    """Whether all shares lie on polynomials of this degree."""
    points = sorted(shares)
    base = {point: shares[point] for point in points[: degree + 1]}
    return all(np.array_equal(recombine(base, point), shares[point]) for point in points[degree + 1 :])


def pack(values: Field) -> bytes:
    """Four bytes an element, little-endian."""
    return values.astype("<u4").tobytes()


def unpack(raw: bytes, count: int) -> Field:
    """Read `pack`'s form; ValueError, which names no value, on another size or a number outside the field."""
    if len(raw) != _WIDTH * count:
        raise ValueError("shares of another number of elements")
    values = np.frombuffer(raw, dtype="<u4").astype(np.uint64)
    if (values >= _P).any():
        raise ValueError("a share is not in the field")
    return values

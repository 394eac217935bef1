"""Matrices modulo a prime below 2^26: products by exact floating point, reduction to echelon form."""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
Whole = NDArray[np.int64]

_HALF = 13  # bits: a product of 26 and 13 bits, summed over 2^14 terms, is below 2^53 and exact as a float
_TERMS = 2**14
_BLOCK = 2**21  # numbers of a right-hand factor that are worked on at once
_FEW = 8  # rows that are reduced one by one


def random_prime() -> int:
    """A prime in [2^25, 2^26), drawn in secret."""
    while True:
        number = secrets.randbelow(2**25) | 2**25 | 1
        if all(number % divisor for divisor in range(3, math.isqrt(number) + 1, 2)):
            return number


def times(left: Whole, right: NDArray[Any], prime: int) -> Whole:
    """The product modulo the prime; factors hold 0 .. prime - 1."""
    product = np.zeros((left.shape[0], right.shape[1]), dtype=np.int64)
    if not (left.size and right.size):
        return product
    terms = np.flatnonzero(left.any(axis=0))
    width = max(1, _BLOCK // max(1, min(len(terms), _TERMS)))
    for start in range(0, len(terms), _TERMS):
        some = terms[start : start + _TERMS]
        factor = left[:, some].astype(np.float64)
        for column in range(0, right.shape[1], width):
            piece = right[some, column : column + width]
            high = (factor @ (piece >> _HALF).astype(np.float64)).astype(np.int64) % prime
            low = (factor @ (piece & (2**_HALF - 1)).astype(np.float64)).astype(np.int64)
            product[:, column : column + width] += ((high << _HALF) + low) % prime
    return product % prime


def eliminate(rows: Whole, sizes: Whole, prime: int) -> tuple[Rows, Whole]:
    """Reduced row echelon form without its zero rows, and each row's pivot: the largest column where it is not zero."""
    if len(rows) <= _FEW:
        return _one_by_one(rows, sizes, prime)
    half = len(rows) // 2
    top, first = eliminate(rows[:half], sizes, prime)
    bottom = (rows[half:] - times(rows[half:][:, first], top, prime)) % prime
    low, second = eliminate(bottom, sizes, prime)
    top = ((top - times(top[:, second].astype(np.int64), low, prime)) % prime).astype(np.int32)
    return np.concatenate([top, low]), np.concatenate([first, second])


def _one_by_one(rows: Whole, sizes: Whole, prime: int) -> tuple[Rows, Whole]:
    rows = rows % prime
    kept, pivots = [], []
    for place in range(len(rows)):
        if not rows[place].any():
            continue
        pivot = int(np.argmax(np.where(rows[place] != 0, sizes, -1)))
        rows[place] = rows[place] * pow(int(rows[place, pivot]), -1, prime) % prime
        for other in range(len(rows)):
            if other != place and rows[other, pivot]:
                rows[other] = (rows[other] - rows[other, pivot] * rows[place]) % prime
        kept.append(place)
        pivots.append(pivot)
    return rows[kept].astype(np.int32), np.array(pivots, dtype=np.int64)

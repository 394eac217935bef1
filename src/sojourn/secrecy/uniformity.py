"""Whether bytes may be a masked vector: what is not random shows, what is masked wrongly but at random does not.

Two tests of the counts of the 256 byte values: none is too frequent, by a union bound that holds for any length; and,
from 1,280 bytes on, Pearson's chi-square is neither too large nor too small. A site that is honest fails less than once
in 10^9 vectors: 5 * 10^-10 by the first test, 10^-10 by the second (Chernoff bounds of independent Poisson counts,
conditioned on their sum, for 1,280 to 2^28 bytes; see tests/secrecy/test_uniformity.py).
"""

from __future__ import annotations

from math import lgamma, log

import numpy as np

FALSE_ALARM = 1e-9
"""How often, at most, random bytes are found implausible."""
_VALUES = 256
_TOO_FREQUENT = 5e-10
_CHI_SQUARE_FROM = 1280  # bytes: five of each value
_LOWEST, _HIGHEST = 110.0, 500.0  # chi-square of 255 degrees of freedom: mean 255, standard deviation 22.6
_BLOCK = 2**20


def plausible(share: bytes) -> bool:
    """Whether a masked vector may look like this; an empty one may."""
    counts = _counts(share)
    if _surprise(len(share), int(counts.max())) < log(_TOO_FREQUENT):
        return False
    return len(share) < _CHI_SQUARE_FROM or _LOWEST <= _chi_square(counts) <= _HIGHEST


def chi_square(share: bytes) -> float:
    """Pearson's chi-square of the byte values, 255 degrees of freedom; ValueError for no bytes."""
    if not share:
        raise ValueError("no bytes have no frequencies")
    return _chi_square(_counts(share))


def _surprise(length: int, most: int) -> float:
    """The logarithm of a bound on the chance that any value is `most` times among random bytes: 256 C(n, k) / 256^k."""
    choices = lgamma(length + 1) - lgamma(most + 1) - lgamma(length - most + 1)
    return choices - (most - 1) * log(_VALUES)


def _chi_square(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    expected = counts.sum() / _VALUES
    return float(((counts - expected) ** 2).sum() / expected)


def _counts(share: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    data = np.frombuffer(share, dtype=np.uint8)
    counts = np.zeros(_VALUES, dtype=np.int64)
    for start in range(0, len(data), _BLOCK):  # `bincount` widens what it counts
        counts += np.bincount(data[start : start + _BLOCK], minlength=_VALUES)
    return counts

"""Whether a number takes at least three values, told by sites none of which sees the others' values.

Each value falls into one of three bins, by a hash that all sites share; several hashes, so that three values are likely
to fall into three bins under one of them. Where all bins of a hash are hit there are three values or more.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

HASHES = 16
BINS = 3
_MOST_ROWS = 2**14  # more are not looked at: fewer values only make a judgement stricter
_MANY = 256  # values that are enough


def bins_hit(values: NDArray[np.float64]) -> int:
    """The bins that hold a value, as bits: bit BINS * h + b for bin b of hash h."""
    found = 0
    for value in np.unique(values[:_MOST_ROWS])[:_MANY].tolist():
        # Twelve digits, so that the last ones of a logarithm do not make two values of one.
        hashed = hashlib.sha256(f"{value + 0.0:.12g}".encode()).digest()
        for number in range(HASHES):
            found |= 1 << (BINS * number + int.from_bytes(hashed[2 * number : 2 * number + 2], "big") % BINS)
    return found

"""The cell key method: noise on counts that is the same whenever the same persons are counted.

    ckey = sum of the persons' record keys mod (max + 1)
    pcv  = n for n <= 750, else ((n - 1) mod 250) + 501
    noise = ptable[pcv, ckey]

Each row of the perturbation table has mean zero and bounded size and variance, never makes a count negative and leaves
zero as it is. Sources: B. Fraser, J. Wooton, "A proposed method for confidentialising tabular output to protect against
differencing", UNECE 2005; G. Thompson, S. Broadfoot, D. Elazar, UNECE 2013; the distribution of largest entropy under
these conditions: J. K. Marley, V. L. Leaver, ISI 2011. The seed that orders the table is confidential. It makes the
record keys too, of the numbers that persons have at the site for ever: byte n of a ChaCha20 stream under its hash is
that of person n. So a person's key is the same in all snapshots, and nothing has to be kept, or can be lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from sojourn.analysis.partial import Array
from sojourn.analysis.support import Cells
from sojourn.disclosure.output import Output
from sojourn.disclosure.perturbation import changed, counted

LAST, TURN = 750, 250  # rows of the table; those of larger counts come round every 250
KEYS = 256


@dataclass(frozen=True, eq=False)
class CellKey:
    """noise: int64 (751, keys), by count and key. seed: of the record keys. Who knows them can take the noise away."""

    noise: NDArray[np.int64] = field(repr=False)
    seed: int = field(repr=False)

    @property
    def words(self) -> str:
        """What a reader is told."""
        return f"cell key noise of at most {int(np.abs(self.noise).max())}"

    def apply(self, output: Output) -> Output:
        """Counts with their noise; ValueError where sums beside them would tell the count."""
        for cells in output.support.cells:
            names = [name for name in cells.output if name in output.partial.arrays]
            if any(name not in counted(output) or output.partial[name].shape != cells.shape for name in names):
                raise ValueError("cell keys are for tables of counts")
            keys = sums_of_keys(cells, self.seed) if names else np.zeros(cells.shape, dtype=np.int64)
            output = changed(output, tuple(names), partial(perturbed, keys=keys, noise=self.noise))
        return output


def sums_of_keys(cells: Cells, seed: int) -> NDArray[np.int64]:
    """For each cell the sum of its persons' record keys."""
    most = max((persons.max() for persons in cells.persons if persons), default=0)
    keys = record_keys(seed, most)
    sums = [keys[persons.to_array()].sum(dtype=np.int64) for persons in cells.persons]
    return np.array(sums, dtype=np.int64).reshape(cells.shape)


def record_keys(seed: int, most: int) -> NDArray[np.uint8]:
    """The keys of the persons numbered 0 to `most`, at least; the first ones are the same however many there are."""
    return _stream(seed, max(most, 1).bit_length())


@lru_cache(maxsize=4)
def _stream(seed: int, bits: int) -> NDArray[np.uint8]:
    key = hashlib.sha256(b"sojourn-record-keys-v1\n%d" % seed).digest()
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(2**bits))
    return np.frombuffer(stream, dtype=np.uint8)


def perturbed(counts: Array, keys: NDArray[np.int64], noise: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts with the noise of their cells; keys: the sums of the persons' record keys."""
    counts = counts.astype(np.int64)
    row = np.where(counts <= LAST, counts, (counts - 1) % TURN + LAST - TURN + 1)
    return np.asarray(counts + noise[row, keys % noise.shape[1]])


def perturbation_table(seed: int, most: int = 5, variance: float = 2.0, keys: int = KEYS) -> NDArray[np.int64]:
    """A table, (751, keys): each row's noise has mean exactly zero, at most `most`, and at most this variance."""
    draw = np.random.default_rng(seed)
    noise = np.zeros((LAST + 1, keys), dtype=np.int64)
    ranges = [np.arange(-n, most + 1) for n in range(most + 1)]  # no more than n may be taken from n
    rows = [np.repeat(values, _shares(values, variance, keys)) for values in ranges[1:]]
    for n in range(1, LAST + 1):
        noise[n] = draw.permutation(rows[min(n, most) - 1])
    return noise


def _shares(values: NDArray[np.int64], variance: float, keys: int) -> NDArray[np.int64]:
    """How many keys each value gets: largest entropy, p(d) ~ exp(a d - b d^2), then whole keys with mean zero."""
    from scipy.optimize import brentq

    def chances(b: float) -> NDArray[np.float64]:
        def mean(a: float) -> float:
            p = np.exp(a * values - b * values**2)
            return float((p * values).sum() / p.sum())

        a = brentq(mean, -60.0, 60.0)
        p = np.exp(a * values - b * values**2)
        return np.asarray(p / p.sum())

    def spread(b: float) -> float:
        return float((chances(b) * values**2).sum() - variance)

    p = chances(0.0 if spread(0.0) <= 0 else brentq(spread, 0.0, 30.0))
    shares = np.floor(p * keys).astype(np.int64)
    zero = int(np.flatnonzero(values == 0)[0])
    shares[zero] += keys - shares.sum()
    mean = int((shares * values).sum())
    step = 1 if mean < 0 else -1
    shares[zero] -= abs(mean)  # keys move from zero to one, until the mean is zero
    shares[zero + step] += abs(mean)
    return shares

"""A share tells nothing by its bytes; what is not masked does."""

from __future__ import annotations

import math
import secrets

import numpy as np
import pytest
from rosters import roster, share
from scipy.stats import poisson

from sojourn.secrecy.ring import ELEMENT, encode, to_bytes, vetoed
from sojourn.secrecy.uniformity import _HIGHEST, _LOWEST, FALSE_ALARM, _surprise, chi_square, plausible

LENGTHS = [1, 2, 3, 10, 79, 80, 81, 1000, 20_000]  # numbers; 80 are the first of chi-square
VECTORS = {
    "zeros": np.zeros,
    "ones": np.ones,
    "whole numbers": lambda n: np.arange(n) % 7,
    "minus one": lambda n: -np.ones(n),
    "tiny": lambda n: np.full(n, 1e-9),
    "smallest": lambda n: np.full(n, 5e-324),
    "all bits of a significand": lambda n: np.full(n, 2.0 - 2.0**-52),
    "largest": lambda n: np.full(n, math.nextafter(2**62 / 5, 0)),
    "smallest of all": lambda n: np.full(n, -math.nextafter(2**62 / 5, 0)),
    "heights in metres": lambda n: np.random.default_rng(3).normal(1.7, 0.1, n),
}


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("length", LENGTHS)
def test_shares_look_random_and_their_numbers_do_not(name: str, length: int) -> None:
    numbers = VECTORS[name](length)
    keys = roster(5)
    masked = {site: to_bytes(share(keys, site, numbers)) for site in keys}
    assert all(map(plausible, masked.values()))
    assert not plausible(to_bytes(encode(numbers, 5)))
    assert not plausible(numbers.astype(np.float64).tobytes() * (1 if length > 15 else 16))  # floats as they are
    assert plausible(to_bytes(vetoed(length)))  # a veto looks like the others
    if length >= 80:
        assert all(110 < chi_square(one) < 500 for one in masked.values())


def test_half_a_mask_is_seen() -> None:
    """Masks that leave out a limb, a byte of each number, or use printable characters."""
    random = np.frombuffer(secrets.token_bytes(ELEMENT * 1000), dtype=np.uint8).reshape(-1, ELEMENT).copy()
    low, byte = random.copy(), random.copy()
    low[:, 8:] = 0
    byte[:, 15] = 0
    assert plausible(random.tobytes())
    for bad in (low.tobytes(), byte.tobytes(), secrets.token_hex(8000).encode(), (random & 127).tobytes()):
        assert not plausible(bad)
    assert not plausible(bytes(range(256)) * 16)  # more even than chance
    assert plausible(b"")
    with pytest.raises(ValueError, match="no bytes"):
        chi_square(b"")


def test_chi_square_is_pearsons() -> None:
    assert chi_square(bytes(range(256)) * 4) == 0
    assert chi_square(bytes(256)) == pytest.approx(256 * 255)
    data = secrets.token_bytes(2**21 + 5)  # over a border of blocks
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    assert chi_square(data) == pytest.approx(((counts - len(data) / 256) ** 2).sum() / (len(data) / 256))


@pytest.mark.parametrize(
    "length",
    [
        1280,
        2048,
        4096,
        65_536,
        2**20,
        pytest.param(2**24, marks=pytest.mark.long),
        pytest.param(2**28, marks=pytest.mark.nightly),
    ],
)
def test_the_stated_rate_of_false_alarms_is_a_bound(length: int) -> None:
    """Chernoff for independent Poisson counts; given their sum they are the counts of random bytes."""
    most = next(k for k in range(length // 256, length) if _surprise(length, k) < math.log(FALSE_ALARM / 2))
    counts = np.arange(most)
    chances = poisson.logpmf(counts, length / 256)
    squares = (counts - length / 256) ** 2 / (length / 256)

    def tail(bound: float, tilts: np.ndarray) -> float:
        exponents = [256 * float(np.logaddexp.reduce(chances + tilt * squares)) - tilt * bound for tilt in tilts]
        return math.exp(min(exponents)) * math.sqrt(2 * math.pi * length) * 1.001

    assert tail(_HIGHEST, np.linspace(0.05, 0.45, 81)) + tail(_LOWEST, -np.linspace(0.2, 2, 91)) < FALSE_ALARM / 2


def test_random_bytes_pass_whatever_their_length() -> None:
    draw = np.random.default_rng(11)
    shares = [draw.bytes(int(length)) for length in draw.integers(0, 4000, 4000)]
    assert all(map(plausible, shares))

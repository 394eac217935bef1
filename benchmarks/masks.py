"""What masks cost a node beyond the clear encoding of its numbers: benchmarks/results/masks.json.

One node's part of one round: its numbers into the ring, the masks with every other site, the bytes; and what whoever
adds does: the test of each share's bytes, the sum and its decoding. 10,000 numbers over 20 sites, 1,000,000 over 5.
Then the number of persons that two sites have in common, as far as each site computes for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from machine import keep

from sojourn.analysis.partial import Array
from sojourn.analysis.partial import encode as clear
from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.intersection import MADE_UP, blinded, doubled, made_up, matches, pseudonyms
from sojourn.secrecy.masks import Place, mask_key, masked
from sojourn.secrecy.ring import add, allowed, decode, encode, from_bytes, to_bytes, without_veto
from sojourn.secrecy.uniformity import plausible

SIZES = {"ten_thousand_over_20_sites": (10_000, 20), "a_million_over_5_sites": (1_000_000, 5)}
TIMES = 15
PLACE = Place(study="5" * 32, analysis="model", ask="a" * 64, roster="b" * 64)


def milliseconds(work: Callable[[], object]) -> dict[str, float]:
    """Of some runs, the median of the clock and of processor time, which other programs change less."""
    clock, processor = [], []
    for _ in range(TIMES):
        began, before = time.perf_counter(), time.process_time()
        work()
        clock.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - before) * 1000)
    return {"clock_ms": median(clock), "processor_ms": median(processor)}


def round_of(numbers: int, sites: int) -> dict[str, Any]:
    """One node's part, and the part of whoever adds; the sum is compared with the clear one."""
    keys = {f"site {number}": ExchangeKey.generate() for number in range(sites)}
    public = {site: key.public for site, key in keys.items()}
    array: Array = np.random.default_rng(1).normal(size=numbers)

    def share(site: str) -> bytes:
        peers = {peer: key for peer, key in public.items() if peer != site}
        return to_bytes(masked(allowed(encode(array, sites)), keys[site], site, peers, PLACE))

    shares = [share(site) for site in keys]
    rings = [from_bytes(one) for one in shares]
    total = without_veto(add(rings))
    assert total is not None and all(map(plausible, shares))
    assert np.allclose(decode(total, np.float64), sites * array, rtol=1e-13, atol=sites * 2.0**-65)
    own = keys["site 0"]
    return {
        "numbers": numbers,
        "sites": sites,
        "share_bytes": len(shares[0]),
        "masked_share": milliseconds(lambda: share("site 0")),
        "of_which_fixed_point": milliseconds(lambda: encode(array, sites)),
        "of_which_pair_keys": milliseconds(
            lambda: [mask_key(own, "site 0", peer, key, PLACE) for peer, key in public.items() if peer != "site 0"]
        ),
        "clear_encoding": milliseconds(lambda: clear(array)),
        "test_of_one_share": milliseconds(lambda: plausible(shares[0])),
        "sum_and_decoding": milliseconds(lambda: decode(add(rings), np.float64)),
    }


def in_common(persons: int) -> dict[str, Any]:
    """Two sites' lists of so many places, nine tenths filled with persons, half of whom are in both."""
    a, b = ExchangeKey.generate(), ExchangeKey.generate()
    here = [b"person %d" % number for number in range(persons * 9 // 10)]
    there = [b"person %d" % (number + len(here) // 2) for number in range(len(here))]
    added, size = made_up(a, b.public, PLACE), persons + MADE_UP
    mine, yours = pseudonyms(here, a, b.public, PLACE), pseudonyms(there, b, a.public, PLACE)
    began = time.process_time()
    sent = blinded(mine | added, a, PLACE, size)
    blinding = time.process_time() - began
    other = doubled(blinded(yours | added, b, PLACE, size), a, PLACE, size)
    began = time.process_time()
    both = doubled(sent, b, PLACE, size)
    doubling = time.process_time() - began
    assert matches(both, other, size) - len(added) == len(set(here) & set(there))
    return {"places": size, "list_bytes": len(sent), "blinding_seconds": blinding, "doubling_seconds": doubling}


def main() -> None:
    """Both sizes, and persons in common."""
    rounds = {name: round_of(*size) for name, size in SIZES.items()}
    keep("masks", {**rounds, "persons_in_common": in_common(10_000)})


if __name__ == "__main__":
    main()

"""Masks cancel over the whole roster and nowhere else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import Place, masked
from sojourn.secrecy.ring import add, decode, encode

KEYS = [ExchangeKey.generate() for _ in range(50)]
PLACE = Place("5" * 32, "model", "a" * 64, "b" * 64)


@given(st.permutations(range(50)), st.integers(3, 50), st.integers(0, 9))
def test_masks_cancel_over_any_roster(order: list[int], sites: int, numbers: int) -> None:
    roster = {f"site {index}": KEYS[index] for index in order[:sites]}
    public = {site: key.public for site, key in roster.items()}
    shares = [
        masked(
            encode(np.full(numbers, 1), sites),
            key,
            site,
            {peer: other for peer, other in public.items() if peer != site},
            PLACE,
        )
        for site, key in roster.items()
    ]
    assert decode(add(shares), np.int64).tolist() == [sites] * numbers
    assert not numbers or (add(shares[1:]) != encode(np.full(numbers, sites - 1), sites)).any()

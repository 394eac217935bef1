"""Masked sums and nothing around them: what the attacks on masked plans work on.

Sites mask and add as the product's do, but answer whoever asks, whatever was asked before, and test nothing jointly.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from sojourn.secrecy.exchange import ExchangeKey, roster_hash
from sojourn.secrecy.masks import Place, masked
from sojourn.secrecy.ring import Ring, add, decode, encode


@cache
def key_of(site: str) -> ExchangeKey:
    """A site's key, for as long as the tests run."""
    return ExchangeKey.generate()


def shares(parts: Mapping[str, Any]) -> dict[str, Ring]:
    """What each site of this roster sends of its numbers."""
    keys = {site: key_of(site) for site in parts}
    roster = roster_hash({site: (key.public, key.public) for site, key in keys.items()})
    place = Place("5" * 32, "n", "a" * 64, roster)
    sent = {}
    for site, part in parts.items():
        peers = {peer: key.public for peer, key in keys.items() if peer != site}
        numbers = np.ravel(np.asarray(part))
        sent[site] = masked(encode(numbers, len(parts)), keys[site], site, peers, place)
    return sent


def summed(parts: Mapping[str, Any]) -> np.ndarray:
    """The sum that the hub has of them, in the type of the parts."""
    return decode(add(shares(parts).values()), np.asarray(next(iter(parts.values()))).dtype.type)

"""Sites with keys, and what they send."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import Place, masked
from sojourn.secrecy.ring import Ring, encode

KEYS = [ExchangeKey.generate() for _ in range(50)]
PLACE = Place(study="5" * 32, analysis="model", ask="a" * 64, roster="b" * 64)


def roster(sites: int) -> dict[str, ExchangeKey]:
    """The first so many sites with their keys."""
    return {f"site {number}": key for number, key in enumerate(KEYS[:sites])}


def others(keys: Mapping[str, ExchangeKey], site: str) -> dict[str, str]:
    """The public keys of all sites but one."""
    return {peer: key.public for peer, key in keys.items() if peer != site}


def share(keys: Mapping[str, ExchangeKey], site: str, numbers: np.ndarray, place: Place = PLACE) -> Ring:
    """What one site of the roster sends."""
    return masked(encode(numbers, len(keys)), keys[site], site, others(keys, site), place)

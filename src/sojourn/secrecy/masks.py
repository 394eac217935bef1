"""Pairwise masks: each two sites of a roster agree on random numbers that one adds and the other subtracts.

A masked vector alone is uniform; the sum over the whole roster is the sum of the numbers. Nobody's masks can be taken
away for a site that is missing: then there is no sum. A mask belongs to one place: the node sends a place's bytes once
and stores them before it does, for two vectors under one mask would tell their difference.

Source: K. Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017, section 4
(masking with one-time pads), with static Diffie-Hellman keys and without the recovery of drop-outs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.ring import ELEMENT, Ring, minus, plus

LEAST = 3
"""Smallest roster: in a sum of two each knows the other's part."""
_BLOCK = 8192  # numbers whose stream is made and added while it is in the processor's cache
_MOST = 2**31  # numbers; the stream's block counter ends at twice that


@dataclass(frozen=True)
class Place:
    """What a mask is for, and for nothing else: study and analysis by name, ask and roster by hash (hex digits)."""

    study: str
    analysis: str
    ask: str
    roster: str


def masked(ring: Ring, own: ExchangeKey, site: str, peers: Mapping[str, str], place: Place, least: int = LEAST) -> Ring:
    """A site's vector under its masks with all other sites of the roster (site → public exchange key, hex).

    ValueError for a roster below `least` or with one key twice; IdentityError for what is no key.
    """
    keys = {own.public, *peers.values()}
    if site in peers or len(keys) != len(peers) + 1 or len(keys) < max(least, 2):
        raise ValueError("masks need a roster of enough different sites, each with a key of its own")
    if len(ring) > _MOST:
        raise ValueError("too many numbers for one mask")
    total = ring.copy()
    for peer, public in peers.items():
        _mask(total, mask_key(own, site, peer, public, place), adds=site < peer)
    return total


def mask_key(own: ExchangeKey, site: str, peer: str, public: str, place: Place) -> bytes:
    """The 32 bytes that two sites derive alike for one place: HKDF (RFC 5869) over their X25519 secret."""
    first, second = sorted((site, peer))
    return derived(own.agree(public), place, a=first, b=second)


def derived(secret: bytes, place: Place, **use: str) -> bytes:
    """32 bytes out of a secret for one place and use; other words of use, other bytes."""
    info = rfc8785.dumps({**asdict(place), **use})
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=bytes.fromhex(place.roster), info=info).derive(secret)


def _mask(total: Ring, key: bytes, adds: bool) -> None:
    """Add or subtract the key's stream: ChaCha20 (RFC 8439) with nonce zero, for a key is used once."""
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    zeros = bytes(ELEMENT * min(_BLOCK, len(total)))
    for start in range(0, len(total), _BLOCK):
        part = total[start : start + _BLOCK]
        mask = np.frombuffer(stream.update(zeros[: ELEMENT * len(part)]), dtype="<u8").reshape(-1, 2)
        (plus if adds else minus)(part, mask)

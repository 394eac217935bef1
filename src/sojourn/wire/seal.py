"""Answers sealed to the hub's key of one run: HPKE (RFC 9180) over Padmé padding.

Nobody between node and hub, and no later holder of another run's key, can read an answer; its size tells little.
HPKE's base mode hides but does not sign: the node's signature is inside, on the release.
"""

from __future__ import annotations

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sojourn.errors import IdentityError

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_RAW = serialization.Encoding.Raw
_LENGTH_BYTES = 4
_FLOOR = 256


def new_seal_key() -> tuple[bytes, str]:
    """A run's key: the private half (32 bytes, for the hub's store only) and the public half (64 hex digits)."""
    key = X25519PrivateKey.generate()
    private = key.private_bytes(_RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    return private, key.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw).hex()


def release_info(*, study: str, analysis: str, round: str, site: str) -> bytes:
    """The context that a sealed answer is bound to, injectively; `round` names the round (the ask's digest)."""
    return rfc8785.dumps(["sojourn sealed release", 1, study, analysis, round, site])


def seal(public_hex: str, plaintext: bytes, info: bytes) -> bytes:
    """`plaintext` for the holder of this key (64 hex digits) in this context (see `release_info`); padded before it."""
    try:
        key = X25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
        return _SUITE.encrypt(_pad(plaintext), key, info=info)
    except ValueError as error:  # not 32 bytes, or a point of small order, to which anybody could read
        raise IdentityError(
            "Not a sealing key.", remedy="Fetch the run's key from the hub again and submit again."
        ) from error


def open_sealed(private: bytes, blob: bytes, info: bytes) -> bytes:
    """What was sealed to this key in this context; IdentityError for another key or context, or any changed byte."""
    try:
        return _unpad(_SUITE.decrypt(blob, X25519PrivateKey.from_private_bytes(private), info=info))
    except (InvalidTag, ValueError) as error:
        raise IdentityError(
            "A sealed answer does not open.",
            remedy="It was sealed to another key or for another round, or was altered: ask the site to send it again.",
        ) from error


def padded_length(length: int) -> int:
    """Padmé: the length that keeps only the leading log2 log2 bits, at least 256 bytes; at most 12 % longer.

    Source: Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with PURBs, PoPETs 2019(4).
    """
    length = max(length, _FLOOR)
    exponent = length.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << free_bits) - 1
    return (length + mask) & ~mask


def _pad(plaintext: bytes) -> bytes:
    framed = len(plaintext).to_bytes(_LENGTH_BYTES, "big") + plaintext
    return framed.ljust(padded_length(len(framed)), b"\0")


def _unpad(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    plaintext = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    # One plaintext has one padding: other zeros, lengths or tails are not what `seal` makes.
    if len(padded) < _FLOOR or _pad(plaintext) != padded:
        raise ValueError("not padded by the rule")
    return plaintext

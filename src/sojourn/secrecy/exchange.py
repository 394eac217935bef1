"""Exchange keys (X25519): what two sites agree on secrets with, stated under the key that the roster names.

The hub carries the statements and cannot make one: each is signed by its site's Ed25519 key, which custodians pin.
One key serves masks and sealed shares; their derivations are apart (our HKDF info, HPKE's labels).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sojourn.errors import IdentityError

_STATEMENT = b"sojourn-exchange-v1\n"
_ROSTER = b"sojourn-masked-roster-v1\n"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_RAW = serialization.Encoding.Raw


class ExchangeKey:
    """A site's private X25519 key. It is never printed, logged or sent."""

    def __init__(self, raw: bytes) -> None:
        """From 32 bytes; ValueError otherwise."""
        self._key = X25519PrivateKey.from_private_bytes(raw)
        self.public = self._key.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw).hex()
        """64 hex digits."""

    @classmethod
    def generate(cls) -> ExchangeKey:
        """A new random key."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    def save(self, path: Path) -> None:
        """Write the file, readable by its owner only; never over another one."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise IdentityError("A key is already there.", remedy="Keep it, or choose another file.") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self._key.private_bytes_raw().hex() + "\n")
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> ExchangeKey:
        """Read a key file; refused when anyone but its owner may read it."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError as error:
            raise IdentityError("There is no exchange key.", remedy="Start the node once: it makes one.") from error
        if mode & 0o077:
            raise IdentityError("The exchange key can be read by others.", remedy=f"Run `chmod 600 {path.name}`.")
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except ValueError as error:
            raise IdentityError("The exchange key is damaged.", remedy="Restore it from your backup.") from error

    def agree(self, public: str) -> bytes:
        """The 32 secret bytes shared with the holder of this public key (RFC 7748); IdentityError where it is none."""
        try:
            return self._key.exchange(_read(public))
        except ValueError as error:  # not 32 bytes, or a point of small order, with which everybody agrees
            raise _no_key() from error

    def secret(self) -> bytes:
        """The key itself, 32 bytes, to derive from what nobody else can."""
        return self._key.private_bytes_raw()


@dataclass(frozen=True)
class Stated:
    """A site's word that this public exchange key (64 hex digits) is its own, signed by its node's Ed25519 key."""

    site: str
    key: str
    signature: bytes


def state(federation: str, site: str, key: str, sign: Callable[[bytes], bytes]) -> Stated:
    """The statement; `sign` is the node's Ed25519 key's."""
    return Stated(site, key, sign(_statement(federation, site, key)))


def verify(stated: Stated, federation: str, identity: str) -> None:
    """IdentityError unless the node of this Ed25519 key (64 hex digits) stated it, in this federation."""
    try:
        _read(stated.key)
        signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity))
        signer.verify(stated.signature, _statement(federation, stated.site, stated.key))
    except (InvalidSignature, ValueError) as error:
        raise _no_key() from error


def roster_hash(roster: Mapping[str, tuple[str, str]]) -> str:
    """SHA-256 (hex) of a roster: site → its Ed25519 and its exchange key, each 64 hex digits.

    ValueError where one key serves two sites, who would count as two.
    """
    for keys in zip(*roster.values(), strict=True):
        if len(set(keys)) < len(roster):
            raise ValueError("two sites of a roster have the same key")
    return hashlib.sha256(_ROSTER + rfc8785.dumps({site: list(keys) for site, keys in roster.items()})).hexdigest()


def seal_to(public: str, plaintext: bytes, info: bytes) -> bytes:
    """`plaintext` for the holder of this key in this context: HPKE (RFC 9180). Not padded: its length is no secret."""
    try:
        return _SUITE.encrypt(plaintext, _read(public), info=info)
    except ValueError as error:
        raise _no_key() from error


def open_with(key: ExchangeKey, sealed: bytes, info: bytes) -> bytes:
    """What was sealed to this key in this context; IdentityError for another key or context, or any changed byte."""
    try:
        return _SUITE.decrypt(sealed, key._key, info=info)
    except (InvalidTag, ValueError) as error:
        raise IdentityError(
            "A sealed share does not open.",
            remedy="It was sealed to another key or for another step, or was altered: submit the study again.",
        ) from error


def _statement(federation: str, site: str, key: str) -> bytes:
    return _STATEMENT + rfc8785.dumps({"federation": federation, "site": site, "exchange": key})


def _read(public: str) -> X25519PublicKey:
    raw = bytes.fromhex(public)
    if raw.hex() != public:  # one key has one spelling
        raise ValueError("not 64 lowercase hex digits")
    return X25519PublicKey.from_public_bytes(raw)


def _no_key() -> IdentityError:
    return IdentityError(
        "A site's exchange key is not one, or not stated by that site.",
        remedy="Fetch the federation's sites again and submit again; if it stays, report it to the site's custodian.",
    )

"""Ed25519 keys of people, nodes and logs: files 0600, refused when looser."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sojourn.errors import IdentityError

_RAW = serialization.Encoding.Raw


class PublicKey:
    """The public half, written as 64 hex digits in files and messages."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise IdentityError("A public key has 32 bytes.", remedy="Use the .pub file that Sojourn wrote.")
        self.raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    @classmethod
    def from_hex(cls, text: str) -> PublicKey:
        """Read 64 hex digits, as in a .pub file."""
        try:
            return _read(text.strip())
        except ValueError as error:
            raise IdentityError("Not a public key.", remedy="Use the .pub file that Sojourn wrote.") from error

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Read a .pub file."""
        try:
            return cls.from_hex(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise IdentityError("There is no public key there.", remedy="Give the .pub file.") from error

    @property
    def hex(self) -> str:
        """64 hex digits."""
        return self.raw.hex()

    @property
    def id(self) -> str:
        """Short name of the key: the first 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's over these bytes."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)


@lru_cache(maxsize=1024)
def _read(text: str) -> PublicKey:
    """The same few keys are read again with every request and release."""
    return PublicKey(bytes.fromhex(text))


class PrivateKey:
    """The private half. It is never printed, logged or sent."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw))

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 signature (RFC 8032)."""
        return self._key.sign(message)

    def save(self, path: Path) -> None:
        """Write `path` (0600, never overwritten) and `path.pub`."""
        raw = self._key.private_bytes(_RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise IdentityError("A key is already there.", remedy="Keep it, or choose another file.") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(raw.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.with_name(path.name + ".pub").write_text(self.public.hex + "\n", encoding="ascii")

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """Read a key file; refused when anyone but its owner may read it."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError as error:
            raise IdentityError("There is no key file.", remedy="`sojourn login` makes one.") from error
        if mode & 0o077:
            raise IdentityError("The key file can be read by others.", remedy=f"Run `chmod 600 {path.name}`.")
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip())))
        except (ValueError, UnicodeDecodeError) as error:
            raise IdentityError("The key file is damaged.", remedy="Restore it from your backup.") from error

"""A receipt: one entry with the proof that a signed log holds it; checked offline with nothing but the log's key.

Law: an altered entry, index, size, proof or checkpoint does not verify.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from sojourn.audit import checkpoint as checkpoints
from sojourn.audit.proof import verify_inclusion
from sojourn.audit.tree import HASH_BYTES, leaf_hash
from sojourn.errors import AuditError
from sojourn.identity.keys import PublicKey


@dataclass(frozen=True)
class Receipt:
    """An entry's raw bytes, its index from 0, the size that the checkpoint signs, and the proof's hashes in hex."""

    entry: bytes
    index: int
    size: int
    proof: tuple[str, ...]
    checkpoint: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able document; the entry is its own canonical JSON text."""
        return {
            "entry": self.entry.decode("utf-8"),
            "index": self.index,
            "size": self.size,
            "proof": list(self.proof),
            "checkpoint": self.checkpoint,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Receipt:
        """Read `to_dict`'s document; AuditError for any other form. Nothing is verified yet."""
        if set(document) != {"entry", "index", "size", "proof", "checkpoint"}:
            raise _refusal("does not have the fields of a receipt")
        entry, index, size, proof, note = (document[name] for name in ("entry", "index", "size", "proof", "checkpoint"))
        if not (isinstance(entry, str) and isinstance(note, str) and type(index) is int and type(size) is int):
            raise _refusal("has fields of the wrong type")
        if not isinstance(proof, list | tuple) or not all(isinstance(value, str) for value in proof):
            raise _refusal("has a proof that is not a list of hashes")
        try:
            return cls(entry.encode("utf-8"), index, size, tuple(proof), note)
        except UnicodeEncodeError as error:
            raise _refusal("is not UTF-8") from error

    def verify(self, origin: str, public_key: PublicKey) -> dict[str, Any]:
        """The decoded entry, proven to be in the log `origin` of this key; AuditError otherwise."""
        signed = checkpoints.read(self.checkpoint, origin, public_key)
        if signed.size != self.size:
            raise _refusal("and its checkpoint differ in size")
        if not verify_inclusion(leaf_hash(self.entry), self.index, self.size, self._hashes(), signed.root):
            raise _refusal("does not prove that the log holds the entry")
        entry = decode(self.entry)
        if entry["sequence"] != self.index:
            raise _refusal("has an entry that belongs at another place")
        return entry

    def _hashes(self) -> tuple[bytes, ...]:
        try:
            hashes = tuple(bytes.fromhex(value) for value in self.proof)
        except ValueError as error:
            raise _refusal("has a proof that is not in hex") from error
        if any(len(value) != HASH_BYTES for value in hashes):
            raise _refusal("has a proof with hashes that are not 32 bytes")
        return hashes


def decode(data: bytes) -> dict[str, Any]:
    """An entry's fields from its raw bytes; AuditError unless they are a JSON object with a whole number `sequence`."""
    try:
        entry = from_json(data)
    except ValueError:
        entry = _slowly(data)
    if type(entry) is dict and type(entry.get("sequence")) is int:
        return entry
    raise _refusal("has an entry without a place in the log")


def sequences(entries: list[bytes]) -> list[int]:
    """The place of each entry, as `decode` reads it, for many at once; AuditError where it would raise one."""
    try:
        places = [from_json(data)["sequence"] for data in entries]
    except (ValueError, TypeError, KeyError):
        places = []
    # Only an object has a member of that name; a truth or a fraction would equal a whole number.
    if set(map(type, places)) == {int}:
        return places
    return [decode(data)["sequence"] for data in entries]


def _slowly(data: bytes) -> Any:
    """What the fast reader, which takes a third of the time, refuses has a second reading."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refusal("has an entry that cannot be read") from error


def _refusal(what: str) -> AuditError:
    return AuditError(f"The receipt {what}.", remedy="Ask the log for a new one; if it stays so, tell the custodians.")

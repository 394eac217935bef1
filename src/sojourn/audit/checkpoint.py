"""Checkpoints of a log: the C2SP tlog-checkpoint, a C2SP signed note with an Ed25519 signature (algorithm byte 0x01).

Laws: a note says nothing until a signature by the expected key is verified; a signature line with that key's name
and id that does not verify condemns the note; lines by unknown keys are ignored, which leaves room for witnesses.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from sojourn.audit.tree import HASH_BYTES
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey, PublicKey

NOTE_BYTES_MAX = 100_000  # room for 16 post-quantum signatures, as the signed-note format demands
ED25519 = b"\x01"  # the algorithm byte of a log's own signature
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<blob>[A-Za-z0-9+/]+={0,2})")
# All below a space but the end of a line.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True)
class Checkpoint:
    """A log's state: its name, the number of its entries and the root of their tree (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


def sign(checkpoint: Checkpoint, key: PrivateKey) -> str:
    """The checkpoint as a signed note, the origin being the key's name; AuditError for an origin that cannot be one."""
    require_origin(checkpoint.origin)
    text = checkpoint.text()
    blob = key_id(checkpoint.origin, key.public) + key.sign(text.encode("utf-8"))
    return f"{text}\n{signature_line(checkpoint.origin, blob)}"


def signature_line(name: str, blob: bytes) -> str:
    """A line of a signed note: the key's name, then its id and its signature in base64."""
    return f"— {name} {base64.b64encode(blob).decode('ascii')}\n"


def require_origin(origin: str) -> None:
    """AuditError unless the name may stand in a note: not empty, no spaces, plus or control characters."""
    if not origin or "+" in origin or not origin.isprintable() or any(letter.isspace() for letter in origin):
        raise AuditError(
            "Not a name for a log.", remedy="Use a name like `sojourn.example/hub`, without spaces or plus."
        )


def read(note: str, origin: str, public_key: PublicKey) -> Checkpoint:
    """The checkpoint that this key signed under this origin; AuditError for anything else."""
    text, signatures = divide(note)
    expected = key_id(origin, public_key)
    ours = [blob[4:] for name, blob in signatures if name == origin and blob[:4] == expected]
    if not ours:
        raise _refusal("is not signed by the expected key")
    if not all(public_key.verify(signature, text.encode("utf-8")) for signature in ours):
        raise _refusal("carries a signature that does not verify")
    return _parse(text, origin)


def stated_size(note: str) -> int:
    """The size that a note states, before it is verified; -1 where it states none."""
    words = note.split("\n", 2)
    return int(words[1]) if len(words) == 3 and _SIZE.fullmatch(words[1]) else -1


def key_id(name: str, key: PublicKey, algorithm: bytes = ED25519) -> bytes:
    """The four bytes that name a key for one use of it."""
    return hashlib.sha256(name.encode("utf-8") + b"\n" + algorithm + key.raw).digest()[:4]


def divide(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The signed text and the signatures (key name, key id and signature), by the rules of the signed-note format.

    AuditError for what is not a signed note; nothing is verified.
    """
    try:
        length = len(note.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise _refusal("is not UTF-8") from error
    if length > NOTE_BYTES_MAX:
        raise _refusal("is too long")
    if _CONTROL.search(note):
        raise _refusal("holds control characters")
    body, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise _refusal("is not a signed note")
    return body + "\n", [_signature(line) for line in tail[:-1].split("\n")]


def _signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE.fullmatch(line)
    if match is None:
        raise _refusal("has a malformed signature line")
    blob = _decode(match["blob"])
    if len(blob) <= 4:
        raise _refusal("has a signature line without a signature")
    return match["name"], blob


def _parse(text: str, origin: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise _refusal("does not have an origin, a size and a root")
    if lines[0] != origin:
        raise _refusal("is of another log")
    if not _SIZE.fullmatch(lines[1]):
        raise _refusal("has a size that is not a number")
    root = _decode(lines[2])
    if len(root) != HASH_BYTES:
        raise _refusal("has a root that is not 32 bytes")
    return Checkpoint(origin, int(lines[1]), root)


def _decode(text: str) -> bytes:
    """Standard base64, in its one canonical writing."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _refusal("is not in base64 where it must be") from error
    if base64.b64encode(raw).decode("ascii") != text:
        raise _refusal("is not in canonical base64")
    return raw


def _refusal(what: str) -> AuditError:
    return AuditError(
        f"The checkpoint {what}.",
        remedy="Fetch it again; if it stays so, keep it as evidence and tell the custodians.",
    )

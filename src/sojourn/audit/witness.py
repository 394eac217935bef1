"""A witness of other parties' logs: the rule of C2SP tlog-witness, and its signed word, C2SP cosignature/v1.

Laws: a memory moves only to a state that the log signed and proved to extend it, so it never goes back and never to
another history; what is refused although its log signed it is evidence, to be kept. A cosignature says: at this time,
this was the largest state that I saw of this log, and it holds everything that I saw before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sojourn.audit.checkpoint import Checkpoint, divide, key_id, read, signature_line
from sojourn.audit.proof import verify_consistency
from sojourn.audit.tree import EMPTY_ROOT
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey, PublicKey

COSIGNATURE = b"\x04"  # the algorithm byte of an Ed25519 cosignature with its time
_TIME_MAX = 2**63 - 1
_BLOB_BYTES = 4 + 8 + 64  # key id, time, signature


class Reason(StrEnum):
    """Why a witness does not accept what it is shown."""

    LOG = "unknown log"
    SIGNATURE = "signature"
    OLD_SIZE = "old size"
    PROOF = "proof"
    ROLLBACK = "rollback"
    FORK = "fork"

    @property
    def alarm(self) -> bool:
        """Whether the log itself signed what cannot follow from what it signed before."""
        return self in (Reason.PROOF, Reason.ROLLBACK, Reason.FORK)


_SENTENCES: Mapping[Reason, str] = {
    Reason.LOG: "This log is not known here.",
    Reason.SIGNATURE: "The checkpoint is not signed by the log's key.",
    Reason.OLD_SIZE: "The proof does not begin at the size that was witnessed last.",
    Reason.PROOF: "The log does not prove that it holds what was witnessed before.",
    Reason.ROLLBACK: "The log is smaller than it was.",
    Reason.FORK: "The log signed two different states of the same size.",
}


class Refused(AuditError):
    """What is shown is not accepted. size: what the witness remembers. checkpoint: what the log signed, if it did."""

    def __init__(self, reason: Reason, size: int = 0, checkpoint: Checkpoint | None = None) -> None:
        remedy = "Show the log with a proof from the size that the witness remembers."
        if reason.alarm:
            remedy = "Find out why (a restored backup, or tampering) before the log is accepted again."
        super().__init__(_SENTENCES[reason], remedy=remedy)
        self.reason = reason
        self.size = size
        self.checkpoint = checkpoint


@dataclass(frozen=True)
class Memory:
    """What a witness remembers of a log: the largest state that it accepted; nothing yet is size 0."""

    origin: str
    size: int = 0
    root: bytes = EMPTY_ROOT


def verified(keys: Mapping[str, PublicKey], note: str) -> Checkpoint:
    """The checkpoint that one of these logs signed, by origin; else Refused with LOG or SIGNATURE."""
    origin = note.partition("\n")[0]
    if origin not in keys:
        raise Refused(Reason.LOG)
    try:
        return read(note, origin, keys[origin])
    except AuditError as error:
        raise Refused(Reason.SIGNATURE) from error


def judge(memory: Memory, checkpoint: Checkpoint, old: int, proof: Sequence[bytes]) -> Memory:
    """The new memory, once a verified checkpoint of the same log was proved to extend it; else Refused.

    old: the size that the log's owner believes to be remembered; the proof leads from there. A wrong one is no alarm:
    an answer may have been lost, or a message late. So a smaller log is a rollback only where its owner shows it in
    the knowledge of what is remembered. Two states of one size accuse by themselves.
    """
    if checkpoint.origin != memory.origin:
        raise Refused(Reason.LOG, memory.size, checkpoint)
    if checkpoint.size == memory.size and checkpoint.root != memory.root:
        raise Refused(Reason.FORK, memory.size, checkpoint)
    if old != memory.size:
        raise Refused(Reason.OLD_SIZE, memory.size, checkpoint)
    if checkpoint.size < memory.size:
        raise Refused(Reason.ROLLBACK, memory.size, checkpoint)
    if not verify_consistency(memory.size, memory.root, checkpoint.size, checkpoint.root, proof):
        raise Refused(Reason.PROOF, memory.size, checkpoint)
    return Memory(checkpoint.origin, checkpoint.size, checkpoint.root)


def cosign(note: str, name: str, key: PrivateKey, time: int) -> str:
    """The line with which a witness of this name cosigns a signed note at a time (UTC seconds)."""
    text, _ = divide(note)
    if not 0 <= time <= _TIME_MAX:
        raise AuditError("Not a time for a cosignature.", remedy="Set the clock of this machine.")
    signature = key.sign(_message(text, time))
    return signature_line(name, key_id(name, key.public, COSIGNATURE) + time.to_bytes(8, "big") + signature)


def cosigned(note: str, name: str, key: PublicKey) -> int | None:
    """When this witness cosigned the note (the latest time, UTC seconds); None where it did not.

    AuditError where a line in its name and with its key's id does not verify.
    """
    text, signatures = divide(note)
    expected = key_id(name, key, COSIGNATURE)
    times = []
    for blob in [blob for signer, blob in signatures if signer == name and blob[:4] == expected]:
        time = int.from_bytes(blob[4:12], "big")
        if len(blob) != _BLOB_BYTES or time > _TIME_MAX or not key.verify(blob[12:], _message(text, time)):
            raise AuditError(
                "A cosignature of the checkpoint does not verify.",
                remedy="Keep it as evidence, and tell the custodians.",
            )
        times.append(time)
    return max(times, default=None)


def verifier_key(name: str, key: PublicKey, algorithm: bytes = COSIGNATURE) -> str:
    """The key as tools of C2SP read it (vkey): name, key id in hex, algorithm byte and key in base64."""
    encoded = base64.b64encode(algorithm + key.raw).decode("ascii")
    return f"{name}+{key_id(name, key, algorithm).hex()}+{encoded}"


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()

"""A party's audit log in its database: appending, checkpoints, receipts, verification; in a caller's transaction.

Laws: every append signs one checkpoint; the tree grows from the state that was last committed and signed, never from
rows that a stranger changed meanwhile; a state that does not extend the last one seen is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, MetaData, bindparam, func, insert, select

from sojourn.audit import checkpoint as checkpoints
from sojourn.audit import tree
from sojourn.audit.checkpoint import Checkpoint
from sojourn.audit.proof import Proof, consistency, inclusion
from sojourn.audit.receipt import Receipt, decode
from sojourn.audit.verification import Report, verify_log
from sojourn.audit.witness import cosign
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.storage.append_only import appending
from sojourn.storage.log import BLOCK, ScannedHashes, StoredHashes, entries, fetched, log_tables


@dataclass(frozen=True)
class Head:
    """The end of the log: its latest checkpoint, signed, and the hashes that the next append needs."""

    size: int
    root: bytes
    note: str
    peaks: dict[tuple[int, int], bytes] = field(repr=False)


class Journal:
    """Reads and extends the log; keeps no state but the key, the log's name and hashes that never change."""

    def __init__(self, metadata: MetaData, key: PrivateKey, origin: str) -> None:
        checkpoints.require_origin(origin)
        self.origin = origin
        self._key = key
        self._tables = log_tables(metadata)
        self._seen: dict[tuple[int, int], bytes] = {}
        # Made once: making a statement takes longer than SQLite takes to answer it.
        entry, note = self._tables.entry.c, self._tables.checkpoint.c
        self._newest = select(note.note, note.size).order_by(note.size.desc()).limit(1)
        self._of_size = select(note.note).where(note.size == bindparam("at"))
        self._last_note = select(note.note).order_by(note.size.desc()).limit(1)
        self._last_position = select(func.max(entry.position))
        self._data = select(entry.data).where(entry.position == bindparam("at"))
        self._add_entry, self._add_note = insert(self._tables.entry), insert(self._tables.checkpoint)

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the checkpoints."""
        return self._key.public

    def load(self, connection: Connection) -> Head:
        """The stored end of the log; AuditError unless signature, size and root agree with the stored tree: O(log n).

        A database without any entry or checkpoint is a new log: it gets its first checkpoint, of size 0.
        """
        note = self._latest(connection)
        size = self._size(connection)
        if note is None and size == 0:
            with appending(connection):
                return self._sign(connection, 0, StoredHashes(connection, self._tables))
        if note is None:
            raise _damaged("has entries, but no checkpoint")
        signed = checkpoints.read(note, self.origin, self._key.public)
        if signed.size != size:
            raise _damaged(f"holds {size} entries, its latest checkpoint signs {signed.size}")
        hashes = StoredHashes(connection, self._tables)
        if tree.root(hashes, size) != signed.root:
            raise _damaged("does not have the root that its latest checkpoint signs")
        return Head(size, signed.root, note, _peaks(hashes, size))

    def follow(self, connection: Connection, head: Head) -> Head:
        """The present end, where another process may have appended since; AuditError unless it extends `head`."""
        if self._latest(connection) == head.note and self._size(connection) == head.size:
            return head
        present = self.load(connection)
        if present.size < head.size or tree.root(StoredHashes(connection, self._tables), head.size) != head.root:
            raise _damaged("was rewritten or cut while this program ran")
        return present

    def append(self, connection: Connection, head: Head, encoded: Sequence[bytes]) -> Head:
        """Add entries, their hashes and one checkpoint; the new end, true once the transaction commits."""
        hashes = StoredHashes(connection, self._tables, head.peaks)
        size = head.size
        for data in encoded:
            size = tree.append(hashes, size, tree.leaf_hash(data))
        rows = [
            {"position": head.size + place, "data": data, "study": str(decode(data).get("study", ""))}
            for place, data in enumerate(encoded)
        ]
        with appending(connection):
            connection.execute(self._add_entry, rows)
            hashes.flush()
            return self._sign(connection, size, hashes)

    def holds(self, connection: Connection, head: Head) -> bool:
        """Whether the append that gave this end was committed, and was not only on its way."""
        return connection.scalar(self._of_size, {"at": head.size}) == head.note

    def receipt(self, connection: Connection, index: int) -> Receipt:
        """The entry at this index with its proof against the latest checkpoint; verified before it is handed out."""
        note = self.checkpoint(connection)
        signed = checkpoints.read(note, self.origin, self._key.public)
        hashes = fetched(connection, self._tables, lambda hashes: inclusion(hashes, index, signed.size), self._seen)
        proof = inclusion(hashes, index, signed.size)
        data = connection.scalar(self._data, {"at": index})
        if data is None:
            raise _damaged("has lost an entry")
        receipt = Receipt(data, index, signed.size, tuple(value.hex() for value in proof), note)
        receipt.verify(self.origin, self._key.public)
        return receipt

    def find(self, connection: Connection, study: str, kind: str, facts: Mapping[str, Any]) -> int:
        """The position of the first entry of this kind about a study with these facts; AuditError if there is none."""
        table = self._tables.entry.c
        found = connection.execute(
            select(table.position, table.data).where(table.study == study).order_by(table.position)
        )
        for position, data in found:
            entry = decode(data)
            if entry.get("kind") == kind and facts.items() <= dict(entry.get("facts", {})).items():
                return int(position)
        raise AuditError("There is no such entry in the log.", remedy="Check the study's id.")

    def checkpoint(self, connection: Connection) -> str:
        """The latest signed note."""
        note = self._latest(connection)
        if note is None:
            raise _damaged("has no checkpoint")
        return note

    def latest(self, connection: Connection) -> tuple[str, int]:
        """The latest signed note and the number of entries that it signs."""
        row = connection.execute(self._newest).first()
        if row is None:
            raise _damaged("has no checkpoint")
        return row.note, row.size

    def signed_at(self, connection: Connection, size: int) -> str | None:
        """The checkpoint that this log signed at a size, if it did."""
        return connection.scalar(self._of_size, {"at": size})

    def proof(self, connection: Connection, old: int, new: int) -> Proof:
        """That the first `new` entries begin with the first `old`; AuditError where the log was never that large.

        For committed entries: what was read once is kept, as the hash of a complete subtree never changes.
        """
        hashes = fetched(connection, self._tables, lambda hashes: consistency(hashes, old, new), self._seen)
        return consistency(hashes, old, new)

    def cosign(self, note: str, time: int) -> str:
        """The line with which this log's party cosigns another's checkpoint, under its own log's name and key."""
        return cosign(note, self.origin, self._key, time)

    def tail(self, connection: Connection) -> tuple[int, str]:
        """How many entries there are, and the time of the latest one; empty where there is none."""
        table = self._tables.entry.c
        query = select(table.position, table.data).order_by(table.position.desc()).limit(1)
        row = connection.execute(query).first()
        return (0, "") if row is None else (row.position + 1, str(decode(row.data)["time"]))

    def verify(self, connection: Connection) -> Report:
        """Hash the whole log again from its raw entries and compare everything with it.

        Signatures on all processors: one takes as long as twenty entries, and is proven outside the interpreter's lock.
        """
        table = self._tables.checkpoint.c
        notes = connection.scalars(select(table.note).order_by(table.size).execution_options(yield_per=BLOCK))
        raw = entries(connection, self._tables)
        hashes = ScannedHashes(connection, self._tables)
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="checkpoints") as pool:
            return verify_log(raw, hashes, notes, self.origin, self._key.public, each=pool.map)

    def _sign(self, connection: Connection, size: int, hashes: StoredHashes) -> Head:
        root = tree.root(hashes, size)
        note = checkpoints.sign(Checkpoint(self.origin, size, root), self._key)
        connection.execute(self._add_note, {"size": size, "note": note})
        return Head(size, root, note, _peaks(hashes, size))

    def _latest(self, connection: Connection) -> str | None:
        return connection.scalar(self._last_note)

    def _size(self, connection: Connection) -> int:
        last = connection.scalar(self._last_position)
        return 0 if last is None else last + 1


def _peaks(hashes: StoredHashes, size: int) -> dict[tuple[int, int], bytes]:
    return {place: hashes.get(*place) for place in tree.peaks(size)}


def _damaged(what: str) -> AuditError:
    return AuditError(
        f"The audit log {what}.",
        remedy="Stop, keep the database as evidence, run `sojourn audit verify`, and restore the latest backup.",
    )

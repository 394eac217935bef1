"""The audit log's tables, and the stored hashes of its tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
)

from sojourn.audit.tree import HASH_BYTES, Hashes
from sojourn.errors import AuditError
from sojourn.storage.append_only import protect, unprotect

BLOCK = 1024
SEEN_MAX = 100_000  # hashes kept in memory: about 15 MB
PIECE = 4096
COUNT = BigInteger().with_variant(Integer, "sqlite")  # SQLite's integers are as wide, and only "INTEGER" is its key


@dataclass(frozen=True)
class LogTables:
    """Raw entries by position from 0; hashes of complete subtrees by level and position; signed notes by size."""

    entry: Table
    hash: Table
    checkpoint: Table


def log_tables(metadata: MetaData) -> LogTables:
    """The three tables in this MetaData, declared at the first call."""
    if "log_entry" in metadata.tables:
        return LogTables(*(metadata.tables[f"log_{name}"] for name in ("entry", "hash", "checkpoint")))
    return LogTables(
        Table(
            "log_entry",
            metadata,
            Column("position", COUNT, primary_key=True, autoincrement=False),
            Column("data", LargeBinary, nullable=False),
            # Where to look, not evidence: the bytes alone are hashed.
            Column("study", String(32), nullable=False, index=True),
        ),
        Table(
            "log_hash",
            metadata,
            Column("level", Integer, primary_key=True, autoincrement=False),
            Column("position", COUNT, primary_key=True, autoincrement=False),
            Column("hash", LargeBinary(HASH_BYTES), nullable=False),
            sqlite_with_rowid=False,
        ),
        Table(
            "log_checkpoint",
            metadata,
            Column("size", COUNT, primary_key=True, autoincrement=False),
            Column("note", Text, nullable=False),
        ),
    )


def create_log(connection: Connection) -> None:
    """For a party's first migration (`op.get_bind()`): the tables and their triggers."""
    metadata = MetaData()
    log_tables(metadata)
    metadata.create_all(connection, checkfirst=False)
    protect(connection, metadata)


def drop_log(connection: Connection) -> None:
    """For the first migration's downgrade; the triggers go with their tables."""
    metadata = MetaData()
    log_tables(metadata)
    metadata.drop_all(connection, checkfirst=False)
    unprotect(connection)


@cache
def _statements(table: Table) -> tuple[Select[Any], Insert]:
    """One hash; adding hashes. Made once, as making a statement takes longer than answering it."""
    one = select(table.c.hash).where(table.c.level == bindparam("at_level"), table.c.position == bindparam("at"))
    return one, insert(table)


class StoredHashes:
    """`audit.tree.Hashes` over the table, inside the caller's transaction; what is put is inserted by `flush`.

    known: hashes of committed places that need no query.
    """

    def __init__(
        self, connection: Connection, tables: LogTables, known: dict[tuple[int, int], bytes] | None = None
    ) -> None:
        self._connection = connection
        self._table = tables.hash
        self._known = dict(known or {})
        self._one, self._add = _statements(self._table)
        self._new: list[dict[str, int | bytes]] = []

    def get(self, level: int, index: int) -> bytes:
        """The stored hash; AuditError when there is none."""
        known = self._known.get((level, index))
        return known if known is not None else self._fetch(level, index)

    def _fetch(self, level: int, index: int) -> bytes:
        return _found(self._connection.scalar(self._one, {"at_level": level, "at": index}))

    def put(self, level: int, index: int, value: bytes) -> None:
        """Keep a hash until `flush`."""
        self._known[level, index] = value
        self._new.append({"level": level, "position": index, "hash": value})

    def flush(self) -> None:
        """Insert all that was put; the database refuses a place that is taken."""
        if self._new:
            self._connection.execute(self._add, self._new)
            self._new = []


def fetched(
    connection: Connection,
    tables: LogTables,
    compute: Callable[[Hashes], object],
    seen: dict[tuple[int, int], bytes],
) -> StoredHashes:
    """Stored hashes that hold all that a computation will ask for; what `seen` lacks is fetched at once, and kept."""
    places = _Places()
    compute(places)
    missing = [place for place in places.asked if place not in seen]
    found = {place: seen[place] for place in places.asked if place in seen}
    found |= {place: StoredHashes(connection, tables).get(*place) for place in missing}
    if len(seen) > SEEN_MAX:
        seen.clear()
    seen.update(found)
    return StoredHashes(connection, tables, found)


class _Places:
    """Notes which hashes a computation asks for; what it computes from these is thrown away."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def get(self, level: int, index: int) -> bytes:
        self.asked.append((level, index))
        return bytes(HASH_BYTES)

    def put(self, level: int, index: int, value: bytes) -> None:
        raise NotImplementedError


class ScannedHashes(StoredHashes):
    """The same, read in blocks of neighbours: for going through the whole log."""

    def __init__(self, connection: Connection, tables: LogTables) -> None:
        super().__init__(connection, tables)
        self._blocks: dict[int, tuple[int, dict[int, bytes]]] = {}

    def _fetch(self, level: int, index: int) -> bytes:
        number, block = self._blocks.get(level, (-1, {}))
        if number != index // BLOCK:
            number = index // BLOCK
            table = self._table.c
            here = table.position.between(number * BLOCK, (number + 1) * BLOCK - 1)
            rows = self._connection.execute(select(table.position, table.hash).where(table.level == level, here))
            block = {row.position: row.hash for row in rows}
            self._blocks[level] = (number, block)
        return _found(block.get(index))

    def several(self, level: int, first: int, count: int) -> list[bytes]:
        """The stored hashes of a level from place `first` on, at most `count` of them, in order."""
        values = {"level": level, "first": first, "last": first + count - 1}
        return [value for (value,) in _plain(self._connection.execute(_SEVERAL, values))]


# Without the types' own conversions, which cost more than the reading.
_SEVERAL = text(
    "SELECT hash FROM log_hash WHERE level = :level AND position BETWEEN :first AND :last ORDER BY position"
)


def entries(connection: Connection, tables: LogTables, start: int = 0) -> Iterator[bytes]:
    """The raw entries from position `start` on, in order, read as they are needed."""
    # Without the types' own conversions, which cost more than the reading.
    name = tables.entry.name
    query = text(f"SELECT position, data FROM {name} WHERE position >= :start ORDER BY position LIMIT {PIECE}")
    while rows := _plain(connection.execute(query, {"start": start})):
        # SQLite keeps text where a stranger wrote text; its bytes are what is hashed.
        yield from [data if isinstance(data, bytes) else str(data).encode() for _, data in rows]
        start = rows[-1][0] + 1


def _plain(result: CursorResult[Any]) -> list[tuple[Any, ...]]:
    """All rows as the driver gives them: a row object for each would cost more than the hashing."""
    cursor = result.cursor
    rows = [] if cursor is None else list(cursor.fetchall())
    result.close()
    return rows


def _found(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise AuditError(
            "A hash of the audit log is missing.", remedy="Run `sojourn audit verify`, and restore the latest backup."
        )
    return value

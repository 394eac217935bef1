"""What SQL may do on a connection: SQLite's authorizer, asked whenever a statement is prepared.

Law: outside the store's own appending and the migrations, no statement of the application changes the audit tables,
their triggers or the database's settings, and no action ends the transaction that it shares with its audit entry. An
attempt is denied and reported. SQLite asks nothing about the deletion inside REPLACE: the tables' triggers stop it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

LOG_TABLES = frozenset({"log_entry", "log_hash", "log_checkpoint"})
MEMORY_TABLES = frozenset({"witness", "cosignature", "refused_checkpoint"})  # see `storage.witnessing`
_KEY = "sojourn.guard"

# Authorizer codes that change something, each with the position of the table's name among its arguments.
_WRITES: dict[int, tuple[str, int]] = {
    sqlite3.SQLITE_INSERT: ("insert", 0),
    sqlite3.SQLITE_UPDATE: ("update", 0),
    sqlite3.SQLITE_DELETE: ("delete", 0),
    sqlite3.SQLITE_CREATE_TABLE: ("create table", 0),
    sqlite3.SQLITE_CREATE_TEMP_TABLE: ("create table", 0),
    sqlite3.SQLITE_CREATE_VIEW: ("create view", 0),
    sqlite3.SQLITE_CREATE_TEMP_VIEW: ("create view", 0),
    sqlite3.SQLITE_DROP_TABLE: ("drop table", 0),
    sqlite3.SQLITE_DROP_TEMP_TABLE: ("drop table", 0),
    sqlite3.SQLITE_ALTER_TABLE: ("alter table", 1),
    sqlite3.SQLITE_CREATE_TRIGGER: ("create trigger", 1),
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: ("create trigger", 1),
    sqlite3.SQLITE_DROP_TRIGGER: ("drop trigger", 1),
    sqlite3.SQLITE_DROP_TEMP_TRIGGER: ("drop trigger", 1),
    sqlite3.SQLITE_CREATE_INDEX: ("create index", 1),
    sqlite3.SQLITE_DROP_INDEX: ("drop index", 1),
}
_HARMLESS = frozenset(  # in every mode; asked first, since most questions are about columns that are read
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_READS = _HARMLESS | {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_PRAGMA}
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_temp_master"})
_READING_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
    | {"quick_check", "integrity_check"}
)


class Mode(Enum):
    """What a connection is being used for."""

    ORDINARY = "ordinary"  # anything but the audit tables and the settings
    READING = "reading"  # nothing is changed
    ACTION = "action"  # as ordinary, inside a transaction that it cannot end
    MEMORY = "memory"  # as action, and of all tables only those of what other parties signed
    OWNER = "owner"  # the store's own appending, and migrations


@dataclass(frozen=True)
class Attempt:
    """A denied statement: what it would have done, and to which table or setting. Never its values."""

    operation: str
    target: str


class Guard:
    """One connection's authorizer."""

    def __init__(self, connection: sqlite3.Connection, report: Callable[[Attempt], None]) -> None:
        self.mode = Mode.ORDINARY
        self.denied = 0
        self.savepoints: list[str] = []  # begun by the present action, innermost last
        self._connection = connection
        self._report = report

    def authorize(self, code: int, first: str | None, second: str | None, *_: str | None) -> int:
        """SQLite's question; an exception in it counts as a denial."""
        if self.mode is Mode.OWNER or code in _HARMLESS:
            return sqlite3.SQLITE_OK
        attempt = self._tampering(code, first, second)
        if attempt is not None:
            self.denied += 1
            self._report(attempt)
            return sqlite3.SQLITE_DENY
        if self.mode is Mode.READING and not self._reads(code, first):
            return sqlite3.SQLITE_DENY
        if self.mode is Mode.MEMORY and code in _WRITES and (first, second)[_WRITES[code][1]] not in MEMORY_TABLES:
            return sqlite3.SQLITE_DENY
        bound = self.mode in (Mode.ACTION, Mode.MEMORY)
        if bound and (self._ends(code, first, second) or self._adrift(code)):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _tampering(self, code: int, first: str | None, second: str | None) -> Attempt | None:
        if code in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
            return Attempt("attach", "database")
        if code == sqlite3.SQLITE_PRAGMA and second is not None and first not in _READING_PRAGMAS:
            return Attempt("pragma", str(first))
        if code in _WRITES:
            operation, place = _WRITES[code]
            table = (first, second)[place]
            if table is not None and table.lower() in LOG_TABLES:
                return Attempt(operation, table.lower())
        return None

    def _reads(self, code: int, table: str | None) -> bool:
        # A change of the schema table is the first of two questions about CREATE or DROP; the second one is denied.
        return code in _READS or (code in _WRITES and table in _SCHEMA_TABLES)

    def _ends(self, code: int, operation: str | None, name: str | None) -> bool:
        """Whether the statement ends the transaction, or a savepoint that the action did not begin."""
        if code != sqlite3.SQLITE_SAVEPOINT or name is None:
            return code == sqlite3.SQLITE_TRANSACTION
        name = name.lower()
        if operation == "BEGIN":
            self.savepoints.append(name)
            return False
        if name not in self.savepoints:
            return True
        while operation == "RELEASE" and self.savepoints.pop() != name:
            pass
        return False

    def _adrift(self, code: int) -> bool:
        """Whether a write would commit alone, as SQLite ended the transaction by itself, e.g. on a full disk."""
        return code in _WRITES and not self._connection.in_transaction


class Alarm:
    """Where an engine's guards report; the store listens."""

    def __init__(self) -> None:
        self.listener: Callable[[Attempt], None] = lambda attempt: None

    def __call__(self, attempt: Attempt) -> None:
        self.listener(attempt)


_ALARMS = "sojourn.alarm"


def install(engine: Engine) -> None:
    """Guard every connection that this engine opens from now on."""
    alarm = Alarm()
    engine.update_execution_options(**{_ALARMS: alarm})

    @event.listens_for(engine, "connect")
    def guard(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        guard = Guard(connection, alarm)
        record.info[_KEY] = guard
        connection.set_authorizer(guard.authorize)


def alarm_of(engine: Engine) -> Alarm:
    """The alarm of an engine that `install` guarded."""
    alarm = engine.get_execution_options()[_ALARMS]
    assert isinstance(alarm, Alarm)
    return alarm


@contextmanager
def used_for(connection: Connection, mode: Mode) -> Iterator[Guard]:
    """Use the connection in this mode inside the block, then as before; gives its guard, which counts denials."""
    guard: Guard = connection.info[_KEY]
    before, guard.mode = guard.mode, mode
    guard.savepoints.clear()
    try:
        yield guard
    finally:
        guard.mode = before

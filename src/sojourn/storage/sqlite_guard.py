"""The guard of SQLite: its authorizer, which it asks whenever a statement is prepared.

SQLite asks nothing about the deletion inside REPLACE: the tables' triggers stop it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from sojourn.storage.guard import LOG_TABLES, MEMORY_TABLES, Attempt, Guard, Mode

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


class Authorizer(Guard):
    """One connection's authorizer."""

    def __init__(self, connection: sqlite3.Connection, report: Callable[[Attempt], None]) -> None:
        super().__init__(report)
        self._connection = connection
        connection.set_authorizer(self.authorize)

    @property
    def in_transaction(self) -> bool:
        """False too after SQLite ended the transaction by itself, e.g. on a full disk."""
        return self._connection.in_transaction

    def authorize(self, code: int, first: str | None, second: str | None, *_: str | None) -> int:
        """SQLite's question; an exception in it counts as a denial."""
        if self.mode is Mode.OWNER or code in _HARMLESS:
            return sqlite3.SQLITE_OK
        attempt = self._tampering(code, first, second)
        if attempt is not None:
            self._tampered(attempt)
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
        if operation == "BEGIN":
            self._begins(name.lower())
            return False
        return not self._reaches(name.lower(), release=operation == "RELEASE")

    def _adrift(self, code: int) -> bool:
        """Whether a write would commit alone, as SQLite ended the transaction by itself, e.g. on a full disk."""
        return code in _WRITES and not self._connection.in_transaction

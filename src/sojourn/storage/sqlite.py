"""SQLite as a party's database: one private file, one writer, durable at each commit."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine import Engine

from sojourn.errors import ConfigurationError
from sojourn.storage import guard
from sojourn.storage.guard import READ_ONLY
from sojourn.storage.sqlite_guard import Authorizer

CONNECTIONS = 16  # kept open: opening one, with its settings and its guard, takes longer than most reads
_NO_SPACE = ("SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR_SHM", "SQLITE_IOERR_WRITE")
# The figures and their measurements: WAL with FULL lost none of 12,807 acknowledged commits to SIGKILL.
_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "cache_size": -512,  # KiB of each connection; what is read again is in the machine's own cache
}


def open_sqlite(path: Path) -> Engine:
    """An engine on a database file, created (0600) if there is none; ConfigurationError where it is not sound."""
    _require_private_file(path)
    _require_sound(path)
    # Without a statement cache, the authorizer is asked at each execution, not only at the first.
    url, words = URL.create("sqlite+pysqlite", database=str(path)), {"cached_statements": 0}
    # An error may be written down; the values of its statement are not its matter.
    engine = create_engine(url, connect_args=words, hide_parameters=True, pool_size=CONNECTIONS)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    guard.install(engine, Authorizer)
    return engine


def _require_private_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"The database {path.name} cannot be opened ({error.strerror}).",
            remedy="Check that its folder exists and belongs to the user who runs this program.",
        ) from error
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(
            f"The database {path.name} can be read by others.", remedy=f"Run `chmod 600 {path.name}`."
        )


def _require_sound(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            sound = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise ConfigurationError(
                f"The database {path.name} is locked.", remedy="End the program that holds it, and try again."
            ) from error
        if error.sqlite_errorname.startswith(_NO_SPACE):
            raise ConfigurationError(
                f"The database {path.name} cannot be opened: its disk is full, or takes no writing.",
                remedy="Make room on the disk and start again; nothing is damaged.",
            ) from error
        sound = False
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # what SQLite says of damage may hold damaged names
        sound = False
    if not sound:
        raise ConfigurationError(
            f"The database {path.name} is damaged.",
            remedy="Stop the program, keep the file and its -wal as evidence, and restore the latest backup.",
        )


def _configure(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}")
        if connection.execute(f"PRAGMA {name}").fetchone()[0] != value:
            raise ConfigurationError(
                f"The database cannot be used with {name} = {value}.",
                remedy="Keep it on a local disk, not on a network file system.",
            )


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")

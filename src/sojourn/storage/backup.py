"""Copies of a database by its own means, while others write: SQLite's online backup, PostgreSQL's pg_dump.

A copy is one committed state. What is to be known of that state (its log's checkpoint) is asked of the very same state.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url

from sojourn.errors import ConfigurationError
from sojourn.storage.engine import READ_ONLY, open_engine

T = TypeVar("T")
Engine = Literal["sqlite", "postgresql"]
_TOOLS = tuple(f"/usr/lib/postgresql/{version}/bin" for version in (18, 17, 16, 15, 14))


@dataclass(frozen=True)
class Database:
    """Where a party's state is: a file, or the URL of a PostgreSQL database with the file of its password."""

    where: Path | str
    password_file: Path | None = None

    @property
    def engine(self) -> Engine:
        """Which of the two holds it."""
        return "sqlite" if isinstance(self.where, Path) else "postgresql"

    @property
    def made(self) -> bool:
        """Whether it is there at all, as far as that can be seen without asking a server."""
        return not isinstance(self.where, Path) or self.where.is_file()

    @property
    def url(self) -> URL:
        """Of PostgreSQL, with the password."""
        url = make_url(str(self.where)).set(drivername="postgresql+psycopg")
        return url if self.password_file is None else url.set(password=self.password_file.read_text().strip())


def copy_database(database: Database, target: Path, look: Callable[[Connection], T]) -> T:
    """Copy a database into a new file (0600), and look at the state that was copied.

    ConfigurationError where it cannot be copied; an error of `look` stands for a copy that is not to be used.
    """
    if not isinstance(database.where, Path):
        return _dump(database.url, target, look)
    copy_file(database.where, target)
    return look_at(Database(target), look)


def load_database(copy: Path, database: Database) -> None:
    """Make a new database out of a copy: a file that is not there yet, or an empty database of PostgreSQL."""
    if not isinstance(database.where, Path):
        _load(copy, database.url)
    elif database.where.exists():
        raise ConfigurationError("There is a database already.", remedy="Choose another folder.")
    else:
        copy.rename(database.where)


def look_at(database: Database, look: Callable[[Connection], T]) -> T:
    """Look at a whole database, after every page of it was found sound."""
    engine = open_engine(database.where, database.password_file)
    try:
        with engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            if database.engine == "sqlite":
                found = list(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars())
                if found != ["ok"]:
                    raise ConfigurationError("The database is damaged.", remedy="Restore an earlier backup.")
            return look(connection)
    finally:
        engine.dispose()


def copy_file(path: Path, target: Path) -> None:
    """Copy an SQLite file by the online backup: in one step, so that the copy is one state; writers are not stopped."""
    if not path.is_file():
        raise ConfigurationError("There is no database yet.", remedy="Start the program once, then back it up.")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)) as source:
        try:
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        except sqlite3.DatabaseError as error:
            raise _failed(str(error)) from error


def _dump(url: URL, target: Path, look: Callable[[Connection], T]) -> T:
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            # What pg_dump writes is what this transaction sees.
            snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
            words = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}"]
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            _run("pg_dump", words, url)
            return look(connection)
    finally:
        engine.dispose()


def _load(copy: Path, url: URL) -> None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = text("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
            if connection.scalar(tables):
                raise ConfigurationError(
                    "The database is not empty.", remedy="Make a new one with `createdb`, and name that."
                )
    finally:
        engine.dispose()
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={url.database}"]
    _run("pg_restore", [*words, str(copy)], url)


def _run(tool: str, words: Sequence[str], url: URL) -> None:
    """Run one of PostgreSQL's programs; the password goes by its environment, which other users cannot read."""
    places = os.pathsep.join([*_TOOLS, os.environ.get("PATH", os.defpath)])
    program = shutil.which(tool, path=places)
    if program is None:
        raise ConfigurationError(f"The program {tool} is missing.", remedy="Install PostgreSQL's client programs.")
    said: dict[str, object] = {
        "PGHOST": url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
    }
    said |= {f"PG{word.upper()}": value for word, value in url.query.items() if word in ("host", "port", "sslmode")}
    environment = {"PATH": places, "PGDATABASE": str(url.database)}
    environment |= {name: str(value) for name, value in said.items() if value is not None}
    done = subprocess.run([program, *words], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise _failed(done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else tool)


def _failed(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database could not be copied ({why}).", remedy="Check the disk's free space and the database, try again."
    )

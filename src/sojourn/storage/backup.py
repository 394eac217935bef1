"""Copies of a database by its own means, while others write: SQLite's online backup, PostgreSQL's pg_dump.

A copy is one committed state. What is to be known of that state (its log's checkpoint) is asked of the very same state.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

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


def copy_database(database: Database, target: Path, look: Callable[[Connection], T]) -> T:
    """Copy a database into a new file (0600), and look at the state that was copied.

    ConfigurationError where it cannot be copied; an error of `look` stands for a copy that is not to be used.
    """
    if not isinstance(database.where, Path):
        return _dump(database, target, look)
    copy_file(database.where, target)
    return look_at(Database(target), look)


def load_database(copy: Path, database: Database) -> None:
    """Make a new database out of a copy: a file that is not there yet, or an empty database of PostgreSQL."""
    if not isinstance(database.where, Path):
        _load(copy, database)
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


def _dump(database: Database, target: Path, look: Callable[[Connection], T]) -> T:
    with _plainly(database) as connection:
        # What pg_dump writes is what this transaction sees.
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # Owners and rights are those of the server that it comes back to: `migrate` gives them anew.
        words = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}"]
        _run("pg_dump", words, database)
        return look(connection)


def _load(copy: Path, database: Database) -> None:
    with _plainly(database) as connection:
        found = connection.scalar(
            text("SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
        )
    if found:
        raise ConfigurationError(
            "The database is not empty.", remedy="Make a new one with `createdb`, and name it: --database URL."
        )
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(copy)]
    _run("pg_restore", words, database)


@contextmanager
def _plainly(database: Database) -> Iterator[Connection]:
    """A connection of our own, whose one transaction may last as long as a dump takes."""
    url = make_url(str(database.where))
    arguments: dict[str, Any] = {"options": "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0"}
    arguments |= {} if "sslmode" in url.query else {"sslmode": _sslmode(url)}
    if database.password_file is not None:
        arguments["password"] = _password(database.password_file)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"), connect_args=arguments, isolation_level="REPEATABLE READ"
    )
    try:
        with engine.connect() as connection:
            yield connection
    except OperationalError as error:
        raise ConfigurationError(
            "The database cannot be reached.", remedy="Check `database` and its password, and whether the server runs."
        ) from error
    finally:
        engine.dispose()


def _sslmode(url: URL) -> str:
    from sojourn.storage.postgresql import is_here

    return "prefer" if is_here(url) else "require"


def _password(path: Path) -> str:
    from sojourn.storage.postgresql import password_of

    return password_of(path)


def _run(tool: str, words: Sequence[str], database: Database) -> None:
    """Run one of PostgreSQL's programs; the password goes by its environment, which other users cannot read."""
    places = os.pathsep.join([*_TOOLS, os.environ.get("PATH", os.defpath)])
    program = shutil.which(tool, path=places)
    if program is None:
        raise ConfigurationError(f"The program {tool} is missing.", remedy="Install PostgreSQL's client programs.")
    url = make_url(str(database.where))
    environment = {"PATH": places, "HOME": str(Path.home()), "PGSSLMODE": _sslmode(url)}
    if database.password_file is not None:
        environment["PGPASSWORD"] = _password(database.password_file)
    where = url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(
        [program, f"--dbname={where}", *words],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise _failed(done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else tool)


def _failed(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database could not be copied ({why}).", remedy="Check the disk's free space and the database, try again."
    )

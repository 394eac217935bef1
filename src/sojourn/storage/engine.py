"""Opening a party's database: an SQLite file in its home, or a database of its own on a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError

from sojourn.errors import ConfigurationError
from sojourn.storage.guard import READ_ONLY, guard_of
from sojourn.storage.sqlite import open_sqlite

__all__ = ["READ_ONLY", "in_transaction", "open_engine"]
POSTGRESQL = ("postgresql", "postgresql+psycopg")


def open_engine(path_or_url: str | Path, password_file: Path | None = None) -> Engine:
    """An engine on a party's database: the path of an SQLite file, or a URL `postgresql://role@host:port/database`.

    A transaction takes its turn to write when it begins; on connections with the execution option `READ_ONLY` it reads
    one committed state. password_file: holds the PostgreSQL role's password; without it libpq looks into ~/.pgpass.
    ConfigurationError for a file that is damaged, that others may read or that cannot be opened; for a server that
    cannot be used; for a URL that holds a password; and for any other database.
    """
    if isinstance(path_or_url, Path) or "://" not in path_or_url:
        return open_sqlite(Path(path_or_url).absolute())
    try:
        url = make_url(path_or_url)
    except ArgumentError:
        url = None  # the error would quote the URL
    if url is not None and url.drivername in POSTGRESQL:
        try:
            from sojourn.storage.postgresql import open_postgresql
        except ImportError as error:
            raise ConfigurationError(
                "The driver for PostgreSQL is not installed.", remedy="Run `pip install 'sojourn[postgresql]'`."
            ) from error
        return open_postgresql(url, password_file)
    if url is None or url.get_backend_name() != "sqlite" or not url.database or url.query:
        raise ConfigurationError(
            "This is no database that Sojourn can use.",
            remedy="Give the path of an SQLite file, or a URL like postgresql://role@host:5432/database.",
        )
    return open_sqlite(Path(url.database).absolute())


def in_transaction(connection: Connection) -> bool:
    """Whether the transaction is still open for SQLAlchemy and for the database, which may have ended it by itself."""
    return connection.in_transaction() and guard_of(connection).in_transaction


def touch(connection: Connection) -> None:
    """Change nothing in such a way that committing it must reach the disk."""
    if connection.dialect.name == "sqlite":  # the header's page is written again
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")
    else:  # a transaction with a number of its own leaves a record of its commit
        connection.exec_driver_sql("SELECT pg_current_xact_id()")

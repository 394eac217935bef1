"""Tables and views of a PostgreSQL database, all as they stood at one moment; nothing is written there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from psycopg import IsolationLevel, errors
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sojourn.errors import ConfigurationError, HarmonisationError
from sojourn.node.harmonise.passing import Asked, Buffer, Read, lacking, no_table, not_given, quoted, write
from sojourn.storage.postgresql import URL_WORDS, arguments, password_of

if TYPE_CHECKING:
    from psycopg import Connection

# How values become texts, whatever the server's and the role's own settings; and no end to a long read.
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "30000",
}


def read(name: str, url: str, password_file: Path | None, tables: list[Asked], folder: Path) -> dict[str, Read]:
    """The tables' rows, of one snapshot of the database; HarmonisationError where one cannot be read."""
    connection = _connected(name, _plain(name, url), password_file)
    try:
        connection.read_only, connection.isolation_level = True, IsolationLevel.REPEATABLE_READ
        for word, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, true)", [word, value])
        return {asked.name: _table(connection, name, asked, folder) for asked in tables}
    except psycopg.OperationalError:
        raise _lost(name) from None
    finally:
        connection.close()


def _table(connection: Connection[Any], name: str, asked: Asked, folder: Path) -> Read:
    try:
        described = connection.execute(f"SELECT * FROM {asked.quoted} LIMIT 0".encode()).description or []
        if error := lacking(asked, (column.name for column in described)):
            raise error
        texts = ", ".join(f"{quoted(column)}::text" for column in asked.columns) or "NULL"
        sql = f"COPY (SELECT {texts} FROM {asked.quoted}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
        return write(asked, _rows(connection, sql), folder)
    except (errors.UndefinedTable, errors.InsufficientPrivilege, errors.InvalidSchemaName):
        raise no_table(asked, name) from None
    except psycopg.Error as error:
        _raise(error, connection, asked, name)


def _raise(error: psycopg.Error, connection: Connection[Any], asked: Asked, name: str) -> NoReturn:
    if connection.closed or connection.broken:
        raise _lost(name) from None
    raise not_given(asked, name) from None


def _rows(connection: Connection[Any], sql: str) -> Iterator[Buffer]:
    """The server sends a row at a time."""
    with connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
        yield from copy


def _plain(name: str, text: str) -> URL:
    """The URL, without a password and with no word that changes how the server works."""
    try:
        url = make_url(text)
    except ArgumentError:
        url = None  # the error would quote it
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg") or not url.database:
        raise ConfigurationError(
            f"`sources.{name}.url` is no URL of a PostgreSQL database.",
            remedy="Write it like postgresql://role@host:5432/database; other databases as a `file`.",
        )
    if url.password is not None or set(url.query) - URL_WORDS:
        raise ConfigurationError(
            f"`sources.{name}.url` holds a password, or words that are not for it.",
            remedy="Take them out; a password belongs into the `password_file`, or into ~/.pgpass.",
        )
    return url


def _connected(name: str, url: URL, password_file: Path | None) -> Connection[Any]:
    words: dict[str, Any] = {**arguments(url), **url.translate_connect_args(username="user", database="dbname")}
    words |= dict(url.query)
    if password_file is not None:
        words["password"] = _password(name, password_file)
    try:
        return psycopg.connect(**words)
    except psycopg.Error as error:
        raise _refused(name, str(error)) from None


def _password(name: str, path: Path) -> str:
    try:
        return password_of(path)
    except ConfigurationError as error:
        raise ConfigurationError(
            str(error.args[0]), remedy=f"Check `sources.{name}.password_file`: only you may read it (chmod 600)."
        ) from None


def _refused(name: str, said: str) -> HarmonisationError:
    """Why there is no connection, in our words."""
    what, remedy = "cannot be reached", "Check that it runs and accepts connections from here, and the URL."
    if "password" in said or "authentication" in said:
        what, remedy = "does not accept its reader's login", "Check the role in the URL, and its password."
    elif "does not exist" in said:
        what, remedy = "is not there, or has no such role", "Check the names in the URL."
    elif "SSL" in said or "certificate" in said:
        what, remedy = "and this program do not agree on TLS", "Give sslmode and sslrootcert in the URL."
    return HarmonisationError(f"Database `{name}` {what}.", remedy=f"{remedy} It is `sources.{name}` in node.yaml.")


def _lost(name: str) -> HarmonisationError:
    return HarmonisationError(
        f"The connection to database `{name}` was lost while it was read. Nothing was changed.",
        remedy="Look at its server and the network, and run again.",
    )

"""Tables of an SQLite or DuckDB file, opened to be read only, all at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.passing import Asked, Read, lacking, lines, no_table, not_given, quoted, write
from sojourn.node.warehouse import NO_EXTENSIONS

if TYPE_CHECKING:
    import duckdb

_BATCH = 20_000
_MEMORY = "96MB"  # beside what the run's own database takes
_LITE, _DUCK = b"SQLite format 3", b"DUCK"


def read(name: str, path: Path, tables: list[Asked], folder: Path) -> dict[str, Read]:
    """The tables' rows; HarmonisationError where the file or one of them cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        raise HarmonisationError(
            f"The file of database `{name}` cannot be read.", remedy=f"Check `sources.{name}.file` and its owner."
        ) from None
    if start.startswith(_LITE):
        return _sqlite(name, path, tables, folder)
    if start[8:12] == _DUCK:
        return _duckdb(name, path, tables, folder)
    raise HarmonisationError(
        f"The file of database `{name}` is neither SQLite nor DuckDB.", remedy=f"Check `sources.{name}.file`."
    )


def _sqlite(name: str, path: Path, tables: list[Asked], folder: Path) -> dict[str, Read]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)) as lite:
            lite.text_factory = bytes  # what is no UTF-8 is a row kept aside, not an error that quotes it
            lite.execute("BEGIN")
            lite.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # from here on it reads one state
            return {asked.name: _of_sqlite(lite, name, asked, folder) for asked in tables}
    except sqlite3.Error:
        raise _unopened(name) from None


def _of_sqlite(lite: sqlite3.Connection, name: str, asked: Asked, folder: Path) -> Read:
    schema, _, table = asked.table.rpartition(".")
    described = lite.execute(
        "SELECT name FROM pragma_table_xinfo($1, $2)", [table, schema or "main"]
    ).fetchall() if schema in ("", "main") else []  # fmt: skip
    if not described:
        raise no_table(asked, name)
    if error := lacking(asked, (row[0].decode("utf-8", "replace") for row in described)):
        raise error
    texts = ", ".join(f"CAST({quoted(column)} AS TEXT)" for column in asked.columns) or "NULL"
    try:
        return write(asked, lines(lite.execute(f"SELECT {texts} FROM {asked.quoted}")), folder)
    except sqlite3.Error:
        raise not_given(asked, name) from None


def _duckdb(name: str, path: Path, tables: list[Asked], folder: Path) -> dict[str, Read]:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        **NO_EXTENSIONS,
        "memory_limit": _MEMORY,
        "threads": "1",
        "temp_directory": str(folder / "spill"),
    }
    try:
        with duckdb.connect(str(path), read_only=True, config=config) as connection:
            connection.execute("SET enable_external_access = false")  # a view may name other files
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            connection.execute("BEGIN")
            return {asked.name: _of_duckdb(connection, name, asked, folder) for asked in tables}
    except (duckdb.IOException, duckdb.ConnectionException):
        raise _unopened(name) from None


def _of_duckdb(connection: duckdb.DuckDBPyConnection, name: str, asked: Asked, folder: Path) -> Read:
    import duckdb

    try:
        described = connection.execute(f"SELECT * FROM {asked.quoted} LIMIT 0").description or []
    except (duckdb.CatalogException, duckdb.BinderException):
        raise no_table(asked, name) from None
    except duckdb.Error:
        raise not_given(asked, name) from None
    if error := lacking(asked, (str(column[0]) for column in described)):
        raise error
    texts = ", ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in asked.columns) or "NULL"
    try:
        connection.execute(f"SELECT {texts} FROM {asked.quoted}")
        return write(asked, lines(_cells(connection)), folder)
    except duckdb.Error:
        raise not_given(asked, name) from None


def _cells(connection: duckdb.DuckDBPyConnection) -> Iterator[list[bytes | None]]:
    while rows := connection.fetchmany(_BATCH):
        for row in rows:
            yield [None if cell is None else cell.encode("utf-8") for cell in row]


def _unopened(name: str) -> HarmonisationError:
    return HarmonisationError(
        f"The file of database `{name}` cannot be opened: damaged, or another program is writing to it.",
        remedy="Close it there, or copy it, closed, and name the copy.",
    )

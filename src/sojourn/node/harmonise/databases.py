"""Databases of the site whose tables a plan may name: read whole, each at one moment, into passing files of texts.

Only the columns that the plan reads are asked for. No error tells a value, a password, or what the database said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import ConfigurationError, HarmonisationError
from sojourn.node.config import SETTINGS
from sojourn.node.harmonise import databases_files
from sojourn.node.harmonise.passing import Asked, Read
from sojourn.omop.plan_files import File

if TYPE_CHECKING:
    from sojourn.node.config import NodeHome

_FILE, _SERVER = {"file"}, {"url", "password_file"}
_EXAMPLE = "{laboratory: {url: postgresql://reader@db.example.org/lab, password_file: lab.password}}"


@dataclass(frozen=True)
class Database:
    """One database. file: of SQLite or DuckDB. url: of PostgreSQL, without a password. One of them is empty."""

    name: str
    file: Path | None = None
    url: str = ""
    password_file: Path | None = None


def databases_of(home: NodeHome) -> dict[str, Database]:
    """The databases that a node's settings name; ConfigurationError where one is described by other words."""
    found = {}
    for name, words in home.sources.items():
        if set(words) != _FILE and not {"url"} <= set(words) <= _SERVER:
            raise ConfigurationError(
                f"{SETTINGS}: `sources.{name}` needs `file`, or `url` and perhaps `password_file`.",
                remedy=f"Write e.g. `sources: {_EXAMPLE}`.",
            )
        file, secret = words.get("file"), words.get("password_file")
        found[name] = Database(
            name,
            home.folder / file if file else None,
            words.get("url", ""),
            home.folder / secret if secret else None,
        )
    return found


@contextmanager
def tables_read(
    files: Mapping[str, File],
    columns: Mapping[str, tuple[str, ...]],
    databases: Mapping[str, Database],
    work: Path,
) -> Iterator[Mapping[str, Read]]:
    """What the plan's tables of databases hold, by the plan's names, while it is needed; those of one database agree.

    columns: of each source, those that are read. HarmonisationError where a database or table cannot be read.
    """
    asked: dict[str, list[Asked]] = {}
    for name, file in files.items():
        if file.database:
            asked.setdefault(file.database, []).append(Asked(name, file.table, columns[name]))
    with tempfile.TemporaryDirectory(prefix="tables-", dir=work) as folder:
        found: dict[str, Read] = {}
        for database, tables in asked.items():
            found |= _read(_known(database, databases), tables, Path(folder))
        yield found


def _known(name: str, databases: Mapping[str, Database]) -> Database:
    if name not in databases:
        raise HarmonisationError(
            f"The plan reads a database `{name}` that this site has not named.",
            remedy=f"Name it under `sources` in {SETTINGS}, e.g. `sources: {_EXAMPLE}`.",
        )
    return databases[name]


def _read(database: Database, tables: list[Asked], folder: Path) -> dict[str, Read]:
    if database.file is not None:
        return databases_files.read(database.name, database.file, tables, folder)
    try:
        from sojourn.node.harmonise import databases_postgresql
    except ImportError:
        raise ConfigurationError(
            "The driver for PostgreSQL is not installed.", remedy="Run `pip install 'sojourn[postgresql]'`."
        ) from None
    return databases_postgresql.read(database.name, database.url, database.password_file, tables, folder)

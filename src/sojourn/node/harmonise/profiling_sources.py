"""What an export holds: its files and tables, opened one after the other so that any size fits into bounded memory.

A small file becomes a passing table of texts; a large one is read anew in each of the few passes. A file that cannot be
read is told, with what helps, and the others go on. No error says a value or quotes a line.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import DatasetError
from sojourn.node.harmonise.transcoding import CP1252, is_utf8, transcode
from sojourn.node.warehouse import open_profile, quote

if TYPE_CHECKING:
    import duckdb

MEMORY = "384MB"
SMALL = 256 << 20  # bytes of a file that is copied into a passing table; half a gigabyte of spill at most
_TEXTS = (".csv", ".tsv", ".txt")
_DATABASES = (".duckdb", ".db", ".sqlite", ".sqlite3", ".ddb")
_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20
_MOST_REJECTS = 10_000
_BATCH = 20_000
_UTF8, _UTF16 = "utf-8", "utf-16"
_AGAIN = "Export the table again as CSV (UTF-8) or Parquet."


@dataclass
class Table:
    """One open table. relation: what stands behind FROM. columns: its names. types: as the source declares them.

    problems: what was wrong with it, in sentences. questions: to its owner. whole: whether it is a passing table.
    schema: of a table of a database, where it is not the main one.
    """

    name: str
    source: str
    kind: str
    connection: duckdb.DuckDBPyConnection
    relation: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    encoding: str = ""
    delimiter: str = ""
    whole: bool = False
    schema: str = ""
    problems: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def find(folder: Path) -> list[Path]:
    """The files of an export that are tables, in order of their names. DatasetError where there are none."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise DatasetError("There is no such folder.", remedy="Give the folder that holds the export.")
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and _kind(path)]
    if not found:
        raise DatasetError(
            "The folder holds no tables.", remedy="Put CSV, Parquet, DuckDB or SQLite files into it, e.g. patients.csv."
        )
    return found


def tables(path: Path, memory: str = MEMORY) -> Iterator[Table | DatasetError]:
    """Every table of one file, or the error that it gives instead. Each is closed before the next is opened."""
    with tempfile.TemporaryDirectory(prefix="profile-") as work:
        try:
            opener = {"text": _text, "parquet": _parquet, "database": _database}[_kind(path)]
            yield from opener(path.resolve(), Path(work), memory)
        except DatasetError as error:
            yield error


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    if name.endswith(_DATABASES):
        return "database"
    return "text" if name.endswith(_TEXTS) else ""


def _text(path: Path, work: Path, memory: str) -> Iterator[Table]:
    encoding = _encoding(path)
    names, delimiter, problems = _header(path, encoding)
    source, questions, told = path, [], encoding
    if encoding == _UTF8 and not is_utf8(path):
        source, told = work / "utf-8.csv", CP1252
        try:
            transcode(path, source, CP1252, lenient=True)
        except (ValueError, OSError):
            raise DatasetError(f"There was no room to read {path.name}.", remedy="Make room on the disk.") from None
        names, delimiter, problems = _header(source, _UTF8)
        questions = ["In which encoding was this file written? It is no UTF-8, and was read as Windows-1252 (Latin-1)."]
    with _connection(source, work, memory) as to:
        table = Table(path.name.split(".")[0], path.name, "CSV", to, "", names, ("VARCHAR",) * len(names))
        table.encoding, table.delimiter, table.problems, table.questions = encoding, delimiter, problems, questions
        rejected = _first_pass(table, source)
        table.problems += _rejections(rejected, table)
        table.encoding = told
        yield table


def _first_pass(table: Table, path: Path) -> dict[str, tuple[int, int]]:
    """Copy a small file; of a large one only look which rows cannot be read. Kind of fault → how many, first line."""
    import duckdb

    to, reader = table.connection, _reader(table, path)
    to.execute("DROP TABLE IF EXISTS source; DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    noting = reader.removesuffix(")") + f", store_rejects=true, rejects_limit={_MOST_REJECTS})"
    table.whole = path.stat().st_size * (8 if path.name.endswith(".gz") else 1) <= SMALL
    table.relation = "source" if table.whole else reader
    try:
        if table.whole:
            to.execute(f"CREATE TEMP TABLE source AS SELECT * FROM {noting}")
        else:
            to.execute(f"SELECT count({quote(table.columns[0])}) FROM {noting}").fetchall()
        found = to.execute(
            "SELECT error_type, count(DISTINCT line), min(line) FROM reject_errors GROUP BY 1"
        ).fetchall()
    except duckdb.Error as error:
        raise _unreadable(str(error), path.name) from None
    return {str(kind): (int(count), int(line)) for kind, count, line in found}


def _reader(table: Table, path: Path) -> str:
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in table.columns)
    return (
        f"read_csv({_literal(str(path))}, auto_detect=false, header=true, columns={{{columns}}}, "
        f"delim={_literal(table.delimiter)}, quote='\"', escape='\"', strict_mode=true, null_padding=false, "
        f"encoding='{table.encoding}', ignore_errors=true)"
    )


def _rejections(rejected: dict[str, tuple[int, int]], table: Table) -> list[str]:
    words = {
        "MISSING COLUMNS": "fewer fields than the first line",
        "TOO MANY COLUMNS": "more fields than the first line",
        "UNQUOTED VALUE": "quotation marks that do not close, or stand inside a field without being doubled",
        "INVALID ENCODING": "signs of another encoding",
        "LINE SIZE OVER MAXIMUM": "a line too long to be a row",
    }
    found = []
    for kind, (count, line) in sorted(rejected.items()):
        many = f"at least {count:,}" if count >= _MOST_REJECTS else f"{count:,}"
        what = words.get(kind, "a form that cannot be read")
        found.append(f"{many} rows have {what}, the first in line {line}: they are not in this profile.")
    return found


def _encoding(path: Path) -> str:
    """By the first bytes: a byte order mark says it, zero bytes without one are no text."""
    with _bytes(path) as file:
        try:
            start = file.read(1 << 16)
        except (OSError, EOFError):
            raise DatasetError(f"{path.name} is not a sound gzip file.", remedy="Copy or export it again.") from None
    if not start.strip():
        raise DatasetError(f"{path.name} is empty.", remedy="Export it again, with its column names and rows.")
    if start[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or start[:2] == b"\xfe\xff":
        raise DatasetError(f"{path.name} is in UTF-32 or big-endian UTF-16.", remedy=_AGAIN)
    if start[:2] == b"\xff\xfe":
        return _UTF16
    if b"\0" in start:
        raise DatasetError(f"{path.name} is no text: it holds zero bytes.", remedy=_AGAIN)
    return _UTF8


def _header(path: Path, encoding: str) -> tuple[tuple[str, ...], str, list[str]]:
    with _bytes(path) as file:
        start = file.read(_LONGEST_HEADER)
    text = start.decode("utf-8-sig" if encoding == _UTF8 else encoding, errors="replace")
    line = re.split(r"\r\n|\n|\r", text, maxsplit=1)[0]
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        given = next(csv.reader(io.StringIO(line), delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise DatasetError(
            f"The first line of {path.name} is no row of column names.", remedy="Export it again with a header."
        ) from None
    names, problems = _named([name.strip() for name in given])
    return names, delimiter, problems


def _named(given: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names that can be told apart, and what was wrong with those given."""
    names: list[str] = []
    problems = []
    for place, name in enumerate(given, start=1):
        plain = "".join(sign for sign in name if sign.isprintable())[:80]
        if not plain:
            problems.append(f"Column {place} has no name: it is called column_{place} here.")
            plain = f"column_{place}"
        if plain.casefold() in (each.casefold() for each in names):
            problems.append(f"The name of column {place} is there before: it is called {plain}_{place} here.")
            plain = f"{plain}_{place}"
        names.append(plain)
    if names and all(re.fullmatch(r"[-\d./: ]+", name) for name in names):
        problems.append("The first line holds numbers and no names: is there a header?")
    return tuple(names), problems


def _parquet(path: Path, work: Path, memory: str) -> Iterator[Table]:
    import duckdb

    with _connection(path, work, memory) as to:
        relation = f"read_parquet({_literal(str(path))})"
        try:
            described = to.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        except duckdb.Error as error:
            raise _unreadable(str(error), path.name) from None
        columns, types = tuple(str(row[0]) for row in described), tuple(str(row[1]) for row in described)
        yield Table(path.stem, path.name, "Parquet", to, relation, columns, types, whole=True)


def _database(path: Path, work: Path, memory: str) -> Iterator[Table]:
    with path.open("rb") as file:
        lite = file.read(15) == b"SQLite format 3"
    yield from (_sqlite if lite else _duckdb)(path, work, memory)


def _duckdb(path: Path, work: Path, memory: str) -> Iterator[Table]:
    import duckdb

    with _connection(path, work, memory, attach=True) as to:
        try:
            found = to.execute(
                "SELECT table_schema, table_name FROM information_schema.tables "
                "WHERE table_catalog = 'export' ORDER BY ALL"
            ).fetchall()
        except duckdb.Error as error:
            raise _unreadable(str(error), path.name) from None
        for schema, name in found:
            relation = f"export.{quote(schema)}.{quote(name)}"
            described = to.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
            columns, types = tuple(str(row[0]) for row in described), tuple(str(row[1]) for row in described)
            other = "" if schema == "main" else str(schema)
            yield Table(str(name), path.name, "DuckDB", to, relation, columns, types, whole=True, schema=other)


def _sqlite(path: Path, work: Path, memory: str) -> Iterator[Table]:
    """Copied in batches: DuckDB's reader of SQLite is an extension that would have to be fetched."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as lite:
            names = lite.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY 1").fetchall()
            for (name,) in names:
                if not str(name).startswith("sqlite_"):
                    yield from _sqlite_table(lite, str(name), path, work, memory)
    except sqlite3.Error:
        raise DatasetError(f"{path.name} is not a sound database.", remedy="Copy it again, closed.") from None


def _sqlite_table(lite: sqlite3.Connection, name: str, path: Path, work: Path, memory: str) -> Iterator[Table]:
    import pandas as pd

    described = lite.execute(f"SELECT name, type FROM pragma_table_info({_literal(name)})").fetchall()
    columns = tuple(str(row[0]) for row in described)
    with _connection(path, work, memory) as to:
        to.execute(f"CREATE TEMP TABLE source ({', '.join(f'{quote(column)} VARCHAR' for column in columns)})")
        reading = lite.execute(f"SELECT {', '.join(map(quote, columns))} FROM {quote(name)}")
        while batch := reading.fetchmany(_BATCH):
            texts = [[None if value is None else str(value) for value in row] for row in batch]
            to.register("batch", pd.DataFrame(texts, columns=list(columns), dtype="str"))
            to.execute("INSERT INTO source SELECT * FROM batch")
            to.unregister("batch")
        types = tuple(str(row[1]) or "VARCHAR" for row in described)
        yield Table(name, path.name, "SQLite", to, "source", columns, types, whole=True)


@contextmanager
def _connection(path: Path, work: Path, memory: str, attach: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    try:
        connection = open_profile(work, path, memory=memory, attach=attach)
    except duckdb.Error as error:
        raise _unreadable(str(error), path.name) from None
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _bytes(path: Path) -> Iterator[io.BufferedIOBase]:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        yield file


def _unreadable(message: str, name: str) -> DatasetError:
    """Our words for DuckDB's, which quote lines."""
    if "No space left" in message or "Out of Memory" in message or "could not allocate" in message.lower():
        return DatasetError(f"There was no room to read {name}.", remedy="Make room on the disk, or in memory.")
    if "lock" in message.lower():
        return DatasetError(f"Another program has {name} open.", remedy="Close it there, or copy the file.")
    return DatasetError(f"{name} cannot be read: damaged, or of another kind than its name says.", remedy=_AGAIN)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

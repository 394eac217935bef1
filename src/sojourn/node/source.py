"""A custodian's file as a table of texts: CSV or Parquet, read once, at import, by a hardened DuckDB.

Every value is read as text; an empty text and `NA` are missing. No error names a value or quotes a line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import DatasetError
from sojourn.node.warehouse import open_import, quote

if TYPE_CHECKING:
    import duckdb

MISSING = ("", "NA")
_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Source:
    """An open source: its table `source` has one text column (or NULL) a column of the file, and `_row` from 0."""

    connection: duckdb.DuckDBPyConnection
    columns: tuple[str, ...]
    types: tuple[str, ...]  # of the file: VARCHAR for CSV
    rows: int


@contextmanager
def open_source(path: Path, target: Path) -> Iterator[Source]:
    """Read the file into the DuckDB file `target`. DatasetError for a file that is not a sound table."""
    import duckdb  # loads with the first import or study, not with an idle node

    if not path.is_file():
        raise DatasetError("There is no such file.", remedy="Give the path of a CSV or Parquet file.")
    path = path.resolve()
    parquet = _is_parquet(path)
    header, delimiter = ((), "") if parquet else _csv_header(path)
    connection = open_import(target, (path,))
    try:
        reader = "read_parquet($path)" if parquet else _csv_reader(header, delimiter)
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {reader}", {"path": str(path)}).fetchall()
            columns = tuple(str(row[0]) for row in described) if parquet else header
            _check_names(columns)
            connection.execute(_copy(reader, tuple(str(row[0]) for row in described)), {"path": str(path)})
        except duckdb.Error as error:
            raise _unreadable(str(error), parquet) from None
        found = connection.execute("SELECT count(*) FROM source").fetchone()
        rows = int(found[0]) if found else 0
        if not rows:
            raise DatasetError("The file has no rows.", remedy="Export it again with its rows.")
        yield Source(connection, columns, tuple(str(row[1]) for row in described), rows)
    finally:
        connection.close()


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(reader: str, columns: tuple[str, ...]) -> str:
    missing = ", ".join(f"'{word}'" for word in MISSING)
    texts = [
        f"CASE WHEN CAST({quote(name)} AS VARCHAR) IN ({missing}) THEN NULL ELSE CAST({quote(name)} AS VARCHAR) END"
        f" AS {quote(name)}"
        for name in columns
    ]
    return f"CREATE TEMP TABLE source AS SELECT {', '.join(texts)}, row_number() OVER () - 1 AS _row FROM {reader}"


def _csv_reader(header: tuple[str, ...], delimiter: str) -> str:
    columns = ", ".join("'" + name.replace("'", "''") + "': 'VARCHAR'" for name in header)
    return (
        f"read_csv($path, auto_detect=false, header=true, columns={{{columns}}}, delim='{delimiter}', quote='\"', "
        "escape='\"', strict_mode=true, null_padding=false, ignore_errors=false, encoding='utf-8')"
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() in (".parquet", ".pq") or file.read(4) == b"PAR1"


def _csv_header(path: Path) -> tuple[tuple[str, ...], str]:
    """The column names and the delimiter (the one of , ; tab | that splits the first line most)."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    if b"\0" in start:
        raise DatasetError("The file is not a CSV file.", remedy="Export the table as CSV (UTF-8) or Parquet.")
    line = start.split(b"\n", 1)[0]
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise _wrong_encoding() from None
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        header = tuple(next(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), ()))
    except csv.Error:
        raise DatasetError("The first line is not a row of column names.", remedy="Export the file again.") from None
    _check_names(header)
    return header, delimiter


def _check_names(columns: tuple[str, ...]) -> None:
    if not columns or any(not name.strip() for name in columns):
        raise DatasetError("A column has no name.", remedy="Give every column a name in the first line.")
    if len({name.casefold() for name in columns}) != len(columns):
        raise DatasetError(
            "Two columns have the same name (capitals do not count).", remedy="Rename one of them and export again."
        )
    if any(name.startswith("_") for name in columns):
        raise DatasetError("A column's name begins with `_`.", remedy="Rename it: such names are the node's own.")
    if any(len(name) > 80 or not name.isprintable() for name in columns):
        raise DatasetError("A column's name is not a short text.", remedy="Check that the first line holds names.")


def _unreadable(message: str, parquet: bool) -> DatasetError:
    """Our words for DuckDB's, which quote the line."""
    if parquet:
        return DatasetError(
            "The file is not a sound Parquet file.", remedy="Copy or export it again: it may have been cut off."
        )
    if "unicode" in message or "utf-8" in message:
        return _wrong_encoding()
    found = re.search(r"CSV Error on Line: (\d+)", message)
    place = f" (line {found[1]})" if found else ""
    if "Expected Number of Columns" in message:
        return DatasetError(
            f"A row has more or fewer fields than the first line{place}.",
            remedy="Export the file again with quotation marks around texts.",
        )
    return DatasetError(f"The file is not a sound CSV file{place}.", remedy="Export the table again as CSV or Parquet.")


def _wrong_encoding() -> DatasetError:
    return DatasetError("The file's text is not UTF-8.", remedy="Export it again with the encoding UTF-8.")

"""A file of the export as a sound table of texts: what cannot be read as a row is kept aside with its line.

Only the columns that the plan reads are kept. No error quotes a line or a value.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.transcoding import SINGLE_BYTE, transcode
from sojourn.node.source import digest_of
from sojourn.node.warehouse import quote
from sojourn.omop.plan_files import File

ROWS, ASIDE = "rows.parquet", "aside.parquet"
_PASSING = "utf-8.csv"  # a file of another encoding, while it is read
_LONGEST_HEADER = 1 << 20
_SAMPLE_PARTS = 1_000_000
_REJECTED = """\
SELECT CAST(NULL AS BIGINT) AS record, line, CASE error_type
    WHEN 'MISSING COLUMNS' THEN 'ragged row'
    WHEN 'TOO MANY COLUMNS' THEN 'ragged row'
    WHEN 'UNQUOTED VALUE' THEN 'broken quotes'
    WHEN 'INVALID ENCODING' THEN 'wrong encoding'
    ELSE 'unreadable row' END AS reason, '' AS columns
FROM reject_errors QUALIFY row_number() OVER (PARTITION BY line ORDER BY byte_position) = 1"""


def state(path: Path) -> tuple[int, int]:
    """What changes when a file grows or is replaced."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def columns_there(engine: Engine, path: Path, name: str, file: File) -> tuple[str, ...]:
    """The columns of a file, as it names them. HarmonisationError where it names none, or two alike."""
    return _parquet_columns(engine, path, name, file) if is_parquet(path) else _header(path, name, file)


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def stage(
    engine: Engine, path: Path, name: str, file: File, columns: tuple[str, ...], share: float, to: Path
) -> dict[str, Any]:
    """Write the file's sound rows and what is kept aside into a folder; how many of each.

    share: the part of persons that is kept, by a hash of their identifier; rows of files without persons all are.
    """
    before = state(path)
    parquet, there = is_parquet(path), columns_there(engine, path, name, file)
    if missing := [column for column in columns if column not in there]:
        raise HarmonisationError(
            f"The plan reads columns of `{name}` that the file does not have: "
            + ", ".join(f"`{column}`" for column in missing) + ".",
            remedy="Check their capitals; a newer export may have renamed them.",
        )  # fmt: skip
    connection = engine.connection
    for table in ("reject_errors", "reject_scans"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    with _as_utf8(path, name, file, to, parquet) as (source, encoding):
        sql = _rows(source, file, encoding, there, columns, share, parquet)
        if file.database:  # its own order is any, and changes
            sql += " ORDER BY ALL"
        rows = _written(engine, sql, to / ROWS, name, file)
    rejected = _no_rejects() if parquet else _REJECTED
    if file.database:  # no line of a file that anybody has
        rejected = f"SELECT record, NULL::UBIGINT AS line, reason, columns FROM ({rejected})"
    aside = engine.write(rejected, to / ASIDE)
    if state(path) != before:
        raise HarmonisationError(
            f"File `{name}` changed while it was read.", remedy="Wait until the export is complete, and run again."
        )
    return {"records": rows, "unreadable": aside}


@contextmanager
def _as_utf8(path: Path, name: str, file: File, to: Path, parquet: bool) -> Iterator[tuple[Path, str]]:
    """The file that the database reads, and its encoding; what is made for that is gone afterwards."""
    if parquet or file.encoding not in SINGLE_BYTE:
        yield path, file.encoding
        return
    made = to / _PASSING
    try:
        try:
            transcode(path, made, file.encoding)
        except ValueError:
            raise _not_in(name, file) from None
        yield made, "utf-8"
    finally:
        made.unlink(missing_ok=True)


def _written(engine: Engine, sql: str, to: Path, name: str, file: File) -> int:
    import duckdb  # loads with the first use, not with an idle node

    try:
        return engine.write(sql, to, ordered=True)
    except duckdb.Error as error:
        if "encoded" in str(error):
            raise _not_in(name, file) from None
        if isinstance(error, duckdb.InvalidInputException):
            raise _unreadable(name, file) from None
        raise


def _unreadable(name: str, file: File) -> HarmonisationError:
    return HarmonisationError(
        f"File `{name}` ({file.said}) cannot be read: damaged, or of another kind than the plan says.",
        remedy="Copy or export it again.",
    )


def _not_in(name: str, file: File) -> HarmonisationError:
    return HarmonisationError(
        f"File `{name}` ({file.said}) is not in {file.encoding}, or its gzip is damaged.",
        remedy=f"Ask for its encoding, and write it as `files.{name}.encoding`; cp1252 is the most usual of Windows.",
    )


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    return digest_of(path)


def _no_rejects() -> str:
    return "SELECT NULL::BIGINT AS record, NULL::UBIGINT AS line, '' AS reason, '' AS columns WHERE FALSE"


def _rows(
    path: Path, file: File, encoding: str, there: tuple[str, ...], columns: tuple[str, ...], share: float, parquet: bool
) -> str:
    place = "'" + str(path).replace("'", "''") + "'"
    if parquet:
        reader = f"read_parquet({place})"
    else:
        declared = ", ".join(f"'{column.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for column in there)
        reader = (
            f"read_csv({place}, auto_detect=false, header=true, columns={{{declared}}}, delim='{file.delimiter}', "
            f"quote='\"', escape='\"', strict_mode=true, null_padding=false, store_rejects=true, rejects_limit=0, "
            f"encoding='{encoding}', compression='{'gzip' if path.suffix == '.gz' else 'none'}')"
        )
    missing = ", ".join("'" + word.replace("'", "''") + "'" for word in file.missing)
    texts = [
        f"CASE WHEN CAST({quote(name)} AS VARCHAR) IN ({missing}) THEN NULL ELSE CAST({quote(name)} AS VARCHAR) END"
        if missing else f"CAST({quote(name)} AS VARCHAR)"
        for name in columns
    ]  # fmt: skip
    listed = ", ".join(f"{text} AS {quote(name)}" for text, name in zip(texts, columns, strict=True)) or "NULL AS _none"
    where = ""
    if share < 1 and file.person:
        hashed = f"md5_number_lower(CAST({quote(file.person)} AS VARCHAR)) % {_SAMPLE_PARTS}"
        where = f" WHERE coalesce({hashed} < {int(share * _SAMPLE_PARTS)}, TRUE)"
    return f"SELECT {listed} FROM {reader}{where}"


def _parquet_columns(engine: Engine, path: Path, name: str, file: File) -> tuple[str, ...]:
    import duckdb  # loads with the first use, not with an idle node

    place = str(path).replace("'", "''")
    try:
        return tuple(str(row[0]) for row in engine.rows(f"DESCRIBE SELECT * FROM read_parquet('{place}')"))
    except (duckdb.InvalidInputException, duckdb.IOException):
        raise _unreadable(name, file) from None


def _header(path: Path, name: str, file: File) -> tuple[str, ...]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as read:
        start = read.read(_LONGEST_HEADER)
    encoding = "utf-8-sig" if file.encoding == "utf-8" else file.encoding
    if file.encoding != "utf-16":
        start = start.split(b"\n", 1)[0]
    try:
        text = start.decode(encoding, "ignore" if file.encoding == "utf-16" else "strict").split("\n", 1)[0]
        columns = tuple(next(csv.reader(io.StringIO(text.rstrip("\r")), delimiter=file.delimiter, strict=True), ()))
    except (UnicodeDecodeError, csv.Error):
        raise HarmonisationError(
            f"The first line of `{name}` is no row of column names in {file.encoding}.",
            remedy=f"Ask for the file's encoding, and write it under `files.{name}`.",
        ) from None
    if not columns or any(not re.fullmatch(r"[^_].{0,79}", column) or not column.isprintable() for column in columns):
        raise HarmonisationError(
            f"The first line of `{name}` holds a name that is empty, too long or begins with `_`.",
            remedy="Check that the first line holds the names of columns, and the delimiter in the plan.",
        )
    if len({column.casefold() for column in columns}) != len(columns):
        raise HarmonisationError(
            f"Two columns of `{name}` have the same name (capitals do not count).", remedy="Have one of them renamed."
        )
    return columns

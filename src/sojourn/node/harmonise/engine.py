"""The database that a run computes in: the vocabulary to read, the run's own folder to write, and no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.errors import HarmonisationError
from sojourn.node.warehouse import NO_EXTENSIONS, quote
from sojourn.omop import clocks
from sojourn.omop.identifiers import MACROS, RECORDS, literal, pads

if TYPE_CHECKING:
    import duckdb

MEMORY = "320MB"  # with Python's own, below 512 MB
THREADS = 2
_NO_VOCABULARY = HarmonisationError(
    "There is no vocabulary here.",
    remedy="Load one: `sojourn harmonise vocabulary load DOWNLOAD`, or give --warehouse.",
)


@dataclass(frozen=True)
class Vocabulary:
    """Which version of the vocabularies is in use. digest: of the download that it was loaded from."""

    version: str
    digest: str


class Engine:
    """One connection. Views of finished steps are given names; queries of a plan know only those."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, vocabulary: Vocabulary) -> None:
        self.connection = connection
        self.vocabulary = vocabulary

    def show(self, name: str, files: tuple[Path, ...], numbered: bool = False) -> None:
        """Give Parquet files a name. numbered: with `_record`, each row's place."""
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
        record = ", file_row_number AS _record" if numbered else ""
        rows = f"* EXCLUDE (file_row_number){record}" if numbered else "*"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS SELECT {rows} "
            f"FROM read_parquet([{listed}], file_row_number={str(numbered).lower()})"
        )

    def show_several(self, name: str, files: Sequence[tuple[str, Path]]) -> None:
        """Give Parquet files, each with what it is called, one name: `_file`, and `_record` by file and place in it."""
        parts = [
            f"SELECT * EXCLUDE (file_row_number), file_row_number + {place << RECORDS} AS _record, "
            f"{literal(said)} AS _file FROM read_parquet({literal(str(path))}, file_row_number=true)"
            for place, (said, path) in enumerate(files)
        ]
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS {' UNION ALL '.join(parts)}")

    def write(self, sql: str, path: Path, ordered: bool = False) -> int:
        """Write a query's rows as Parquet; how many. ordered: as they come, which takes more memory."""
        self.connection.execute(f"SET preserve_insertion_order = {str(ordered).lower()}")
        said = str(path).replace("'", "''")
        row = self.connection.execute(f"COPY (\n{sql}\n) TO '{said}' (FORMAT parquet, COMPRESSION zstd)").fetchone()
        return int(row[0]) if row else 0

    def keep(self, name: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Give a few rows, made here, a name: numbers in columns `factor`, `shift` and `rows`, else texts."""
        numbers = ("factor", "shift", "rows")
        declared = ", ".join(f"{quote(each)} {'DOUBLE' if each in numbers else 'VARCHAR'}" for each in columns)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {quote(name)} ({declared})")
        if rows:
            places = ", ".join("?" for _ in columns)
            self.connection.executemany(f"INSERT INTO {quote(name)} VALUES ({places})", [list(row) for row in rows])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A query's rows; for facts, not for records."""
        return self.connection.execute(sql).fetchall()


@contextmanager
def open_engine(
    warehouse: Path, work: Path, reach: tuple[Path, ...], key: bytes, memory: str = MEMORY, threads: int = THREADS
) -> Iterator[Engine]:
    """Open it; HarmonisationError in our words where the database fails, as its own quote lines and values."""
    import duckdb  # loads with the first use, not with an idle node

    demand_memory(memory)
    if not warehouse.is_file():
        raise _NO_VOCABULARY
    try:
        connection = duckdb.connect(
            config={
                **NO_EXTENSIONS,
                "memory_limit": memory,
                "threads": str(threads),
                "temp_directory": str(work / "spill"),
            }
        )
    except duckdb.Error as error:
        raise said(str(error)) from None
    try:
        _prepare(connection, warehouse, key)
        _enclose(connection, (work, *reach))
        yield Engine(connection, _vocabulary(connection))
    except duckdb.Error as error:
        raise said(str(error)) from None
    finally:
        connection.close()


def _prepare(connection: duckdb.DuckDBPyConnection, warehouse: Path, key: bytes) -> None:
    connection.execute(f"ATTACH '{str(warehouse).replace(chr(39), chr(39) * 2)}' AS site_warehouse (READ_ONLY)")
    for name, pad in pads(key).items():
        connection.execute(f"SET VARIABLE {name} = '{''.join(f'{chr(92)}x{byte:02X}' for byte in pad)}'::BLOB")
    for macro in (*MACROS, *clocks.MACROS):
        connection.execute(macro)
    connection.execute("CREATE SCHEMA vocabulary")
    names = ("concept", "concept_relationship", "concept_ancestor", "concept_synonym", "drug_strength", "vocabulary")
    for table in names:
        connection.execute(f"CREATE VIEW vocabulary.{table} AS SELECT * FROM site_warehouse.vocabulary.{table}")


def _enclose(connection: duckdb.DuckDBPyConnection, reach: tuple[Path, ...]) -> None:
    folders = [str(path.resolve()) for path in reach if path.is_dir()]
    files = [str(path.resolve()) for path in reach if not path.is_dir()]
    connection.execute("SET allowed_directories = $1", [folders])
    connection.execute("SET allowed_paths = $1", [files])
    connection.execute("SET enable_external_access = false")


def _vocabulary(connection: duckdb.DuckDBPyConnection) -> Vocabulary:
    row = connection.execute(
        "SELECT version, digest FROM site_warehouse.vocabulary_store.version WHERE current"
    ).fetchone()
    if row is None:
        raise _NO_VOCABULARY
    return Vocabulary(str(row[0]), str(row[1]))


def demand_memory(memory: str) -> None:
    """HarmonisationError where an amount of memory is none."""
    if not re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*[KMGT]i?B\s*", memory, re.ASCII | re.IGNORECASE):
        raise HarmonisationError(f"`--memory {memory}` is no amount of memory.", remedy="Give e.g. `--memory 512MB`.")


def said(message: str) -> HarmonisationError:
    """Our words for what stopped the database: its own would hold values."""
    words: Mapping[str, HarmonisationError] = {
        "No space left": HarmonisationError(
            "The disk is full. No reader sees any of it.",
            remedy="Make room and run again: it goes on where it stopped.",
        ),
        "failed to offload": HarmonisationError(
            "There was too little room on the disk or in memory. No reader sees any of it.",
            remedy="Make room, or allow more with --memory, and run again.",
        ),
        "Out of Memory": HarmonisationError(
            "There was too little memory. No reader sees any of it.", remedy="Allow more with --memory, and run again."
        ),
        "vocabulary": _NO_VOCABULARY,
    }
    for sign, error in words.items():
        if sign.lower() in message.lower():
            return error
    return HarmonisationError(
        "The database could not do this. No reader sees any of it.",
        remedy="Look at the SQL (`sojourn harmonise sql PLAN`), mend the rule, and run again.",
    )

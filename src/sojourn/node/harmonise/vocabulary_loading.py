"""Load a vocabulary download into the warehouse file: all of it in one transaction, or nothing.

A second version keeps the first: each has its own schema, and one transaction makes the new one the current. Nothing of
a vocabulary comes with Sojourn; licences of its parts are between the institution and their owners.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.errors import DatasetError
from sojourn.node.harmonise import vocabulary_small
from sojourn.node.harmonise.vocabulary_checks import Note, examine
from sojourn.node.harmonise.vocabulary_files import Download, header, opened
from sojourn.node.harmonise.vocabulary_tables import STORE, TABLES, columns_of, create, point_to, prepare, schema_of
from sojourn.node.warehouse import open_import, quote

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
_OWN = "None"  # the vocabulary whose version is that of the whole download


@dataclass(frozen=True)
class Version:
    """One loaded version. number: its place, from 1. counts: rows a table. notes: what was found in it."""

    number: int
    version: str
    digest: str
    loaded: str
    current: bool
    counts: dict[str, int]
    notes: tuple[Note, ...]

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        notes = [note.document() for note in self.notes]
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "notes": notes}


def load(path: Path, warehouse: Path, *, memory: str = MEMORY) -> Version:
    """Load a zip or folder as the newest version and make it the current one.

    DatasetError, and the warehouse as it was, where the download is wrong, half, or loaded already.
    """
    beside = warehouse.resolve().parent
    if not beside.is_dir():
        raise DatasetError("The warehouse's folder is not there.", remedy="Make it, or give another --warehouse.")
    fresh = not warehouse.exists()
    try:
        with opened(path, beside) as download, connected(warehouse, tuple(download.files.values()), memory) as to:
            return _loaded(to, download)
    except BaseException:
        if fresh:  # a file that only a failed load made says nothing
            warehouse.unlink(missing_ok=True)
        raise


def use(warehouse: Path, number: int) -> Version:
    """Make another loaded version the current one."""
    with connected(warehouse, (), MEMORY) as to:
        if number not in {each.number for each in versions(to)}:
            raise DatasetError("There is no such version.", remedy="See `sojourn harmonise vocabulary list`.")
        with _transaction(to):
            for statement in point_to(number):
                to.execute(statement)
        return next(each for each in versions(to) if each.number == number)


def versions(connection: duckdb.DuckDBPyConnection) -> list[Version]:
    """Every loaded version, the oldest first."""
    found = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'version'", [STORE]
    ).fetchone()
    if not found or not found[0]:
        return []
    rows = connection.execute(
        f"SELECT number, version, digest, loaded, current, counts, notes FROM {STORE}.version ORDER BY number"
    ).fetchall()
    return [
        Version(
            number, version, digest, loaded.isoformat(timespec="seconds") + "Z", current, json.loads(counts),
            tuple(map(Note.of, json.loads(notes))),
        )
        for number, version, digest, loaded, current, counts, notes in rows
    ]  # fmt: skip


@contextmanager
def connected(
    warehouse: Path, sources: tuple[Path, ...], memory: str, *, must_be: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse file, open to write, with these sources in reach; made where it is not there."""
    import duckdb  # loads with the first use, not with an idle node

    if must_be and not warehouse.is_file():
        raise DatasetError(
            "There is no warehouse file here.", remedy="Load one: `sojourn harmonise vocabulary load ZIP`."
        )
    try:
        connection = open_import(warehouse, sources, memory=memory)
    except duckdb.Error as error:
        raise _unopened(str(error)) from None
    try:
        yield connection
    except duckdb.Error as error:
        raise _said(str(error)) from None
    finally:
        connection.close()


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _loaded(to: duckdb.DuckDBPyConnection, download: Download) -> Version:
    with _transaction(to):
        for statement in prepare():
            to.execute(statement)
        before = versions(to)
        same = next((each for each in before if each.digest == download.digest), None)
        if same is not None:
            raise DatasetError(
                f"This download is loaded already, as version {same.number} ({same.version}).",
                remedy=f"To return to it: `sojourn harmonise vocabulary use {same.number}`.",
            )
        number = max((each.number for each in before), default=0) + 1
        for statement in create(number):
            to.execute(statement)
        if download.kind == "small":
            vocabulary_small.fill(to, schema_of(number), download.files)
        else:
            for table, path in download.files.items():
                _fill(to, number, table, path)
        counts = {table: _count(to, f"{schema_of(number)}.{table}") for table in TABLES}
        notes = examine(to, schema_of(number), counts)
        to.execute(
            f"INSERT INTO {STORE}.version VALUES ($1, $2, $3, $4, false, $5, $6)",
            [
                number, _version(to, number), download.digest, datetime.now(UTC).replace(tzinfo=None),
                json.dumps(counts), json.dumps([note.document() for note in notes]),
            ],
        )  # fmt: skip
        for statement in point_to(number):
            to.execute(statement)
    return versions(to)[-1]


def _fill(to: duckdb.DuckDBPyConnection, number: int, table: str, path: Path) -> None:
    """One tab-separated file into its table. A text in Athena's files is never quoted: quotation marks are text."""
    import duckdb

    wanted = columns_of(table)
    declared = ", ".join(f"'{name}': '{wanted.get(name, 'VARCHAR')}'" for name in header(path))
    reader = (
        f"read_csv($path, auto_detect=false, header=true, columns={{{declared}}}, delim='\t', quote='', escape='', "
        "dateformat='%Y%m%d', nullstr='', strict_mode=true, null_padding=false, ignore_errors=false)"
    )
    names = ", ".join(map(quote, wanted))
    # An empty name is a name: CPT4 comes without names until its own licence is accepted.
    values = ", ".join(f"coalesce({name}, '')" if name == "concept_name" else quote(name) for name in wanted)
    try:
        to.execute(
            f"INSERT INTO {schema_of(number)}.{table} ({names}) SELECT {values} FROM {reader}", {"path": str(path)}
        )
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.ConstraintException) as error:
        found = re.search(r"CSV Error on Line: (\d+)", str(error))
        place = f" (line {found[1]})" if found else ""
        raise DatasetError(
            f"{table.upper()}.csv is not sound{place}: it was cut off or changed.",
            remedy="Download it again from Athena, whole, and load the zip as it came.",
        ) from None


def _version(to: duckdb.DuckDBPyConnection, number: int) -> str:
    row = to.execute(
        f"SELECT vocabulary_version FROM {schema_of(number)}.vocabulary WHERE vocabulary_id = $1", [_OWN]
    ).fetchone()
    if row is None or not row[0]:
        raise DatasetError(
            "VOCABULARY.csv does not say which version this is.",
            remedy="Download it again from Athena: its row `None` holds the version.",
        )
    return str(row[0])


def _count(to: duckdb.DuckDBPyConnection, table: str) -> int:
    row = to.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _unopened(message: str) -> DatasetError:
    if "lock" in message.lower():
        return DatasetError(
            "Another program has the warehouse file open.", remedy="Wait for it, or end it, and try again."
        )
    return DatasetError("The warehouse file cannot be opened.", remedy="Give the path of a DuckDB file, or a new one.")


def _said(message: str) -> DatasetError:
    """Our words for what stopped DuckDB in the middle; the transaction is gone by then."""
    if "No space left" in message or "could not allocate" in message.lower() or "Out of Memory" in message:
        return DatasetError(
            "There was no room left, on disk or in memory. Nothing was changed.", remedy="Make room and try again."
        )
    return DatasetError(
        "The warehouse could not do this. Nothing was changed.", remedy="Restore the warehouse file from your backup."
    )

"""A table's rows on their way from a database to a step: a CSV file of texts, and a digest whatever their order.

A database gives rows in any order, and changes it without a row having changed. So the digest is a sum of hashes of
rows, and the step sorts them: the same rows are the same table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import HarmonisationError

Buffer = bytes | bytearray | memoryview
_BITS = 256
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Asked:
    """A table that a plan reads. name: the plan's. table: the database's. columns: those that are read."""

    name: str
    table: str
    columns: tuple[str, ...]

    @property
    def quoted(self) -> str:
        """The table as SQL text."""
        return ".".join(quoted(part) for part in self.table.split("."))


@dataclass(frozen=True)
class Read:
    """The passing file of a table, and a digest (hex) of its columns and rows."""

    path: Path
    digest: str


def write(asked: Asked, rows: Iterable[Buffer], folder: Path) -> Read:
    """Keep rows, each a line of CSV as it will stand in the file, in a passing file."""
    path = folder / f"{asked.name}.csv"
    header = line([column.encode() for column in asked.columns])
    total = 0
    with path.open("wb", buffering=_BUFFER) as file:
        path.chmod(0o600)
        file.write(header)
        for row in rows:
            file.write(row)
            total += int.from_bytes(hashlib.sha256(row).digest())
    summed = (total % (1 << _BITS)).to_bytes(_BITS // 8)
    return Read(path, hashlib.sha256(header + summed).hexdigest())


def lines(rows: Iterable[Iterable[bytes | None]]) -> Iterator[bytes]:
    """Rows of cells as lines of CSV."""
    return map(line, rows)


def line(cells: Iterable[bytes | None]) -> bytes:
    """One row as a line of CSV: every text in quotation marks, what is not there without."""
    said = [b"" if cell is None else b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells]
    return b",".join(said) + b"\n"


def quoted(name: str) -> str:
    """An identifier as SQL text, of all three databases."""
    return '"' + name.replace('"', '""') + '"'


def lacking(asked: Asked, there: Iterable[str]) -> HarmonisationError | None:
    """The error for columns that a plan reads and a table does not have."""
    known = set(there)
    missing = [column for column in asked.columns if column not in known]
    if not missing:
        return None
    return HarmonisationError(
        f"The plan reads columns of `{asked.name}` that table `{asked.table}` does not have: "
        + ", ".join(f"`{column}`" for column in missing) + ".",
        remedy="Check their capitals; a change of the database may have renamed them.",
    )  # fmt: skip


def no_table(asked: Asked, database: str) -> HarmonisationError:
    """The error for a table that is not there, or not for this reader."""
    return HarmonisationError(
        f"Database `{database}` has no table or view `{asked.table}` that may be read, for `{asked.name}`.",
        remedy=f"Check `files.{asked.name}.table` in the plan, and whether its reader may select from it.",
    )


def not_given(asked: Asked, database: str) -> HarmonisationError:
    """The error for what a database could not do, in our words: its own may quote values."""
    return HarmonisationError(
        f"Database `{database}` could not give the rows of `{asked.table}`, for `{asked.name}`. Nothing was changed.",
        remedy="Ask it yourself for all rows of that table or view: it will say why. Then run again.",
    )

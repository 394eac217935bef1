"""What a snapshot's tables hold, as SHA-256: the same rows give the same hash, in whatever files and order they lie."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.publishing import manifest_of
from sojourn.node.harmonise.reading import opened
from sojourn.node.warehouse import quote
from sojourn.omop.tables import TABLES

_AT_ONCE = 50_000  # rows


def table_hashes(places: Places, snapshot: str = "") -> dict[str, str]:
    """Of each table that a snapshot has, its hash (hex); of the current snapshot if none is named.

    A row is the texts of its fields in the model's order, each after its length, `-` where it is empty; a table is the
    SHA-256 of its rows' SHA-256 in their order. HarmonisationError where there is no such snapshot.
    """
    names = sorted(manifest_of(places, snapshot)["tables"])
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="hashing-", dir=places.folder) as spill,
        opened(places, snapshot, spill=Path(spill)) as connection,
    ):
        for name in names:
            digest = hashlib.sha256()
            rows = connection.execute(f"SELECT sha256({_row(name)}) AS hash FROM {quote(name)} ORDER BY hash")
            while some := rows.fetchmany(_AT_ONCE):
                digest.update("".join(row[0] for row in some).encode())
            found[name] = digest.hexdigest()
    return found


def _row(table: str) -> str:
    texts = [f"CAST({quote(column.name)} AS VARCHAR)" for column in TABLES[table].columns]
    return " || ".join(f"coalesce(strlen({text}) || ':' || {text}, '-')" for text in texts)

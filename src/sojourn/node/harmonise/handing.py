"""A table of a published snapshot as a file, for the node to make a dataset of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.publishing import history
from sojourn.node.harmonise.reading import opened
from sojourn.omop.person_tables import person_table


@dataclass(frozen=True)
class Handed:
    """path: a Parquet file, there while it is needed. snapshot: of which it is. origin: what alone it follows from."""

    path: Path
    snapshot: str
    origin: str


@contextmanager
def handed(home: Path, source: str, table: str) -> Iterator[Handed]:
    """The table (see `person_tables`) of the snapshot that readers of a source take; HarmonisationError without."""
    import duckdb  # loads with the first use, not with an idle node

    select, places = person_table(table), Places(home, source)
    snapshot = history(places).current if places.known else ""
    if not snapshot:
        raise HarmonisationError(
            "Nothing is published of this source.", remedy="Make its tables first: `sojourn harmonise run`."
        )
    with tempfile.TemporaryDirectory(prefix="handed-", dir=places.folder) as folder:
        path = Path(folder) / f"{table}.parquet"
        try:
            with opened(places, snapshot, also=(Path(folder),)) as connection:
                place = str(path).replace("'", "''")
                connection.execute(f"COPY ({select}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error:
            raise HarmonisationError(
                "The table could not be read.", remedy="Check free memory and disk space, and try again."
            ) from None
        yield Handed(path, snapshot, f"harmonised\x1f{source}\x1f{snapshot}\x1f{table}")

"""Readers of the tables: one snapshot, all of the model's tables, and no other file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.publishing import history, manifest_of
from sojourn.node.warehouse import NO_EXTENSIONS, quote
from sojourn.omop.tables import TABLES

if TYPE_CHECKING:
    import duckdb


@contextmanager
def opened(
    places: Places,
    snapshot: str = "",
    *,
    memory: str = "1GB",
    threads: int = 1,
    also: tuple[Path, ...] = (),
    spill: Path | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view for each table of the model; of the current snapshot if none is named.

    What is published meanwhile changes nothing here: a snapshot's files never do. HarmonisationError without one.
    also: folders that it may write to. spill: one for what does not fit into memory.
    """
    import duckdb  # loads with the first use, not with an idle node

    named = snapshot or history(places).current
    manifest_of(places, named)
    folder = places.snapshots / named
    aside = {"temp_directory": str(spill)} if spill else {}
    try:
        with duckdb.connect(
            config={**NO_EXTENSIONS, "memory_limit": memory, "threads": str(threads), **aside}
        ) as connection:
            connection.execute("SET allowed_directories = $1", [[str(folder), *map(str, also)]])
            connection.execute("SET enable_external_access = false")
            for name, table in TABLES.items():
                listed = ", ".join(f"CAST({{}} AS {column.type}) AS {quote(column.name)}" for column in table.columns)
                if (folder / name).is_dir():
                    columns = listed.format(*(quote(column.name) for column in table.columns))
                    place = str(folder / name / "*.parquet").replace("'", "''")
                    connection.execute(f"CREATE VIEW {quote(name)} AS SELECT {columns} FROM read_parquet('{place}')")
                else:
                    empty = listed.format(*("NULL" for _ in table.columns))
                    connection.execute(f"CREATE VIEW {quote(name)} AS SELECT {empty} WHERE FALSE")
            connection.execute("SET lock_configuration = true")
            yield connection
    except duckdb.IOException:
        raise HarmonisationError(
            "A file of the snapshot cannot be read.", remedy="Restore it from your backup."
        ) from None

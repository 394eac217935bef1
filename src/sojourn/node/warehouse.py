"""DuckDB, opened so that a query reaches the one file it is for and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import DatasetError

if TYPE_CHECKING:
    import duckdb

TABLE = "records"  # of a snapshot
PERSON = "_person"  # its column of the node's own numbers
NO_EXTENSIONS = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


def open_snapshot(
    path: Path, *, spill: Path, memory: str = "1GB", threads: int = 1, spill_size: str = "4GB"
) -> duckdb.DuckDBPyConnection:
    """A read-only connection to one snapshot: no other file, no extension, no setting can be reached from it.

    spill: folder for what does not fit into `memory`. Raises DatasetError where the file cannot be opened.
    """
    import duckdb  # loads with the first import or study, not with an idle node

    config: dict[str, str | bool | int | float | list[str]] = {
        **NO_EXTENSIONS,
        "memory_limit": memory,
        "threads": str(threads),
        "temp_directory": str(spill),
        "max_temp_directory_size": spill_size,
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    try:
        return duckdb.connect(str(path), read_only=True, config=config)
    except duckdb.Error:
        raise DatasetError(
            "The snapshot cannot be opened.",
            remedy="Restore the home folder from your backup, or run `sojourn dataset add` again.",
        ) from None


def open_import(target: Path, sources: tuple[Path, ...], *, memory: str = "2GB") -> duckdb.DuckDBPyConnection:
    """A connection that writes `target` and may read `sources`, and no other file; one thread keeps the rows' order."""
    import duckdb  # loads with the first import or study, not with an idle node

    spill = f"{target}.spill"
    connection = duckdb.connect(
        str(target), config={**NO_EXTENSIONS, "memory_limit": memory, "threads": "1", "temp_directory": spill}
    )
    connection.execute("SET allowed_paths = $1", [[str(source) for source in sources]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def open_profile(
    work: Path, source: Path, *, memory: str, attach: bool = False, threads: int = 2
) -> duckdb.DuckDBPyConnection:
    """A connection that reads one file of an export and spills into `work`, and reaches no other file.

    attach: the file is a DuckDB database, which it opens read-only as `export`.
    """
    import duckdb  # loads with the first use, not with an idle node

    connection = duckdb.connect(
        str(work / "profile.duckdb"),
        config={
            **NO_EXTENSIONS,
            "memory_limit": memory,
            "threads": str(threads),
            "temp_directory": str(work / "spill"),
            "preserve_insertion_order": "false",
        },
    )
    if attach:
        path = str(source).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS export (READ_ONLY)")
    connection.execute("SET allowed_paths = $1", [[str(source)]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def quote(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'

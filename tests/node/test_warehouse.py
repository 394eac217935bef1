"""A query on a snapshot reaches that snapshot and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from sojourn.errors import DatasetError
from sojourn.node.warehouse import open_import, open_snapshot

SHUT = [
    "SELECT * FROM read_csv('{other}')",
    "SELECT * FROM read_text('{other}')",
    "SELECT * FROM read_blob('{other}')",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM '{other}'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('{other}')",
    "COPY records TO '{folder}/out.csv'",
    "COPY records FROM '{other}'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/new.duckdb'",
    "ATTACH ':memory:' AS more",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET threads = 64",
    "SET temp_directory = '/tmp'",
    "SET allow_community_extensions = true",
    "SET python_enable_replacements = true",
    "SET log_query_path = '{folder}/log'",
    "PRAGMA enable_profiling = 'json'",
    "CREATE SECRET s (TYPE S3, KEY_ID 'x', SECRET 'y')",
    "INSERT INTO records VALUES (2)",
    "UPDATE records SET a = 2",
    "DELETE FROM records",
    "DROP TABLE records",
    "CREATE TABLE more (a INTEGER)",
    "SELECT * FROM bystander",
]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE records AS SELECT 1 AS a")
    (tmp_path / "other.csv").write_text("a\n1\n")
    return path


@pytest.fixture
def connection(snapshot: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = open_snapshot(snapshot, spill=snapshot.parent / "spill", memory="200MB")
    yield opened
    opened.close()


@pytest.mark.parametrize("statement", SHUT)
def test_everything_else_is_shut(connection: duckdb.DuckDBPyConnection, tmp_path: Path, statement: str) -> None:
    bystander = pd.DataFrame({"a": [1]})  # which DuckDB would find by its name
    assert len(bystander) == 1
    assert connection.execute("SELECT a FROM records").fetchall() == [(1,)]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(other=tmp_path / "other.csv", folder=tmp_path)).fetchall()
    assert sorted(tmp_path.iterdir()) == before


def test_the_same_statements_pass_where_duckdb_is_open(snapshot: Path, tmp_path: Path) -> None:
    """The test above sees something: by default most of these ways are open."""
    refused = []
    local = [
        statement for statement in SHUT if not statement.startswith(("INSTALL", "LOAD", "CREATE SECRET"))
    ]  # those ask the network
    with duckdb.connect(str(snapshot)) as connection:
        for statement in local:
            try:
                connection.execute(statement.format(other=tmp_path / "other.csv", folder=tmp_path))
            except duckdb.Error:
                refused.append(statement)
    assert len(refused) <= len(local) / 3


def test_the_memory_limit_holds(connection: duckdb.DuckDBPyConnection) -> None:
    limit = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    assert limit is not None
    assert limit[0].startswith("190")


def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb").write_bytes(b"no database" * 999)
    for name in ("s.duckdb", "absent.duckdb"):
        with pytest.raises(DatasetError, match="cannot be opened"):
            open_snapshot(tmp_path / name, spill=tmp_path / "spill")


def test_an_import_reads_its_source_alone(tmp_path: Path) -> None:
    for name in ("mine.csv", "other.csv"):
        (tmp_path / name).write_text("a\n1\n")
    connection = open_import(tmp_path / "t.duckdb", (tmp_path / "mine.csv",))
    try:
        assert connection.execute(f"SELECT * FROM read_csv('{tmp_path}/mine.csv')").fetchall() == [(1,)]
        for statement in (
            f"SELECT * FROM read_csv('{tmp_path}/other.csv')",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"SET allowed_paths = ['{tmp_path}/other.csv']",
            "SET enable_external_access = true",
            "SET lock_configuration = false",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    finally:
        connection.close()

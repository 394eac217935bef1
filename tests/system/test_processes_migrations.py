"""The migrated databases of hub and node are those that their tables declare; migrations go both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import Engine

from sojourn.audit.entry import Entry
from sojourn.hub import program as hub_program
from sojourn.hub import tables as hub_tables
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node_program
from sojourn.node import tables as node_tables
from sojourn.storage.engine import open_engine
from sojourn.storage.migrate import current, downgrade, upgrade
from sojourn.storage.store import Store

PARTIES = [
    pytest.param(hub_program.MIGRATIONS, hub_tables.metadata, id="hub"),
    pytest.param(node_program.MIGRATIONS, node_tables.metadata, id="node"),
]
KEY = PrivateKey.generate()
VALUES = {String: "same", Text: "é\n\N{SNOWMAN}", Integer: 1, BigInteger: 2**40, Float: 1.5} | {
    Boolean: True,
    LargeBinary: b"\0\xff",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each engine."""
    return str(tmp_path / "party.db") if request.param == "sqlite" else request.getfixturevalue("postgresql").database()


def opened(engine: Engine, metadata: MetaData) -> Store:
    return Store(engine, metadata, KEY, "migrations.test", lambda: datetime(2026, 1, 1, tzinfo=UTC))


def own_tables(metadata: MetaData) -> list[Table]:
    return [table for table in metadata.sorted_tables if not table.name.startswith("log_")]


def row(table: Table) -> dict[str, Any]:
    """A row with a value in each column; the same text everywhere, so that foreign keys hold."""
    return {column.name: next(VALUES[kind] for kind in VALUES if type(column.type) is kind) for column in table.columns}


def fill(connection: Connection, metadata: MetaData) -> None:
    for table in own_tables(metadata):
        connection.execute(insert(table).values(row(table)))


def rows(engine: Engine, metadata: MetaData) -> dict[str, list[Any]]:
    """All that stands in the tables that are there."""
    there = set(inspect(engine).get_table_names())
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name in there
        }


@pytest.mark.parametrize(("package", "metadata"), PARTIES)
def test_migrations_make_what_the_tables_declare(database: str, package: str, metadata: MetaData) -> None:
    engine = open_engine(database)
    try:
        upgrade(engine, package)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


@pytest.mark.parametrize(("package", "metadata"), PARTIES)
def test_migrations_go_down_and_up_with_data(database: str, package: str, metadata: MetaData) -> None:
    """From the newest revision down to each older one and up again: what both know keeps every row."""
    engine = open_engine(database)
    upgrade(engine, package)
    newest = current(engine)
    with opened(engine, metadata) as store:
        store.write(Entry("test.filled", "hub"), lambda connection: fill(connection, metadata))
    before = rows(engine, metadata)
    assert all(before.values())
    assert len(before) == len(metadata.tables)
    older, steps = before, 0
    while older:
        steps += 1
        downgrade(engine, package, f"-{steps}")
        older = rows(engine, metadata)
        assert older.items() <= before.items()
        assert older or (current(engine), inspect(engine).get_table_names()) == (None, ["alembic_version"])
        upgrade(engine, package)
        assert current(engine) == newest
        assert rows(engine, metadata) == {table: older.get(table, []) for table in before}
        with engine.begin() as connection:  # what fell away is filled again, for the next, deeper step
            for table in own_tables(metadata):
                if older and table.name not in older:
                    connection.execute(insert(table).values(row(table)))
        with opened(engine, metadata) as store:
            assert store.verify().ok
    engine.dispose()

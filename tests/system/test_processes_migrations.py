"""The migrated databases of hub and node are those that their tables declare; migrations go both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pyroaring import BitMap
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
from sojourn.disclosure.ledger import digest
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
PERSONS = BitMap([1, 2, 70_000])
SET = {"digest": digest(PERSONS), "persons": PERSONS.serialize()}
NOTHING = '{"release": {"partial": {"arrays": {}, "suppressed": {}}}}'
FOUND = {"ledger": SET, "person_set": SET, "release": {"answer": NOTHING}}
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
    """A row with a value in each column; the same text everywhere, so that foreign keys hold. What a migration reads
    is what it may find there.
    """
    plain = {
        column.name: next(VALUES[kind] for kind in VALUES if type(column.type) is kind) for column in table.columns
    }
    return plain | {word: value for word, value in FOUND.get(table.name, {}).items() if word in plain}


def fill(connection: Connection, metadata: MetaData) -> None:
    for table in own_tables(metadata):
        connection.execute(insert(table).values(row(table)))


def rows(engine: Engine, metadata: MetaData) -> dict[str, list[dict[str, Any]]]:
    """All that stands in the tables that are there, in the columns that are there."""
    looker = inspect(engine)
    there = {name: {column["name"] for column in looker.get_columns(name)} for name in looker.get_table_names()}
    found = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            if table.name in there:
                columns = [column for column in table.columns if column.name in there[table.name]]
                kept = [dict(line) for line in connection.execute(select(*columns)).mappings()]
                found[table.name] = sorted(kept, key=repr)
    return found


def same(one: dict[str, list[dict[str, Any]]], other: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether what both know agrees."""

    def shared(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
        columns = set().union(*mine[:1]) & set().union(*theirs[:1])
        return sorted(repr(sorted((name, line[name]) for name in columns)) for line in mine)

    return all(
        len(one[table]) == len(other[table]) and shared(one[table], other[table]) == shared(other[table], one[table])
        for table in one.keys() & other.keys()
    )


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
        assert older.keys() <= before.keys() and same(older, before)
        assert older or (current(engine), inspect(engine).get_table_names()) == (None, ["alembic_version"])
        upgrade(engine, package)
        assert current(engine) == newest
        again = rows(engine, metadata)
        assert again.keys() == before.keys() and same(older, again)
        with engine.begin() as connection:  # what fell away is filled again, for the next, deeper step
            for table in own_tables(metadata):
                if older and table.name not in older and not again[table.name]:
                    connection.execute(insert(table).values(row(table)))
        with opened(engine, metadata) as store:
            assert store.verify().ok
    engine.dispose()

"""The migrated databases of hub and node are those that their tables declare; migrations go both ways."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select

from sojourn.hub import program as hub_program
from sojourn.hub import tables as hub_tables
from sojourn.node import program as node_program
from sojourn.node import tables as node_tables
from sojourn.storage.engine import open_engine
from sojourn.storage.migrate import current, downgrade, upgrade

PARTIES = [
    pytest.param(hub_program.MIGRATIONS, hub_tables, "project", {"name": "heart"}, id="hub"),
    pytest.param(
        node_program.MIGRATIONS,
        node_tables,
        "refused_request",
        {"study": "0" * 32, "request": "0" * 64, "reason": "expired"},
        id="node",
    ),
]


@pytest.mark.parametrize(("package", "tables", "table", "row"), PARTIES)
def test_migrations_make_what_the_tables_declare(
    tmp_path: Path, package: str, tables: ModuleType, table: str, row: dict[str, str]
) -> None:
    engine = open_engine(tmp_path / "party.db")
    try:
        upgrade(engine, package)
        newest = current(engine)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, tables.metadata) == []
        with engine.begin() as connection:
            connection.execute(insert(tables.metadata.tables[table]).values(row))
        upgrade(engine, package)  # nothing to do
        with engine.connect() as connection:
            assert connection.execute(select(tables.metadata.tables[table])).mappings().all() == [row]
        downgrade(engine, package, "base")
        assert current(engine) is None
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name NOT LIKE 'alembic%'")
            assert [name for (name,) in rows if not name.startswith("sqlite_")] == []
        upgrade(engine, package)
        assert current(engine) == newest
        with engine.connect() as connection:
            assert connection.execute(select(tables.metadata.tables[table])).all() == []
    finally:
        engine.dispose()

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import inspect

from sojourn.errors import ConfigurationError
from sojourn.storage import migrate
from sojourn.storage.engine import open_engine

PACKAGE = "toy_migrations"
TABLES = {"alembic_version", "log_checkpoint", "log_entry", "log_hash", "thing"}


@pytest.fixture
def engine(databases, toy):
    engine = open_engine(databases.empty())
    yield engine
    engine.dispose()


def copied(folder: Path, name: str, *extra: str) -> str:
    """The toy migrations under another name, with more revisions; each of them is one statement."""
    shutil.copytree(Path(__file__).parent / PACKAGE, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number, statement in enumerate(extra, start=3):
        (folder / name / f"{number:04}_more.py").write_text(
            f"from alembic import op\nrevision = '{number:04}'\ndown_revision = '{number - 1:04}'\n"
            f"def upgrade():\n    op.execute({statement!r})\n"
        )
    return name


def schema(engine):
    """All that the migrations make: tables with columns, keys and indexes; triggers and functions."""
    found = inspect(engine)
    made = {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            [index["column_names"] for index in found.get_indexes(table)],
        )
        for table in found.get_table_names()
    }
    return made | {"triggers": triggers(engine), "functions": functions(engine)}


def triggers(engine):
    queries = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }
    with engine.connect() as connection:
        return set(connection.exec_driver_sql(queries[engine.dialect.name]).scalars())


def functions(engine):
    if engine.dialect.name == "sqlite":
        return set()
    with engine.connect() as connection:
        query = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        return set(connection.exec_driver_sql(query).scalars())


NOTHING = {"triggers": set(), "functions": set()}


def test_up_again_and_down(engine):
    assert migrate.current(engine) is None
    migrate.upgrade(engine, PACKAGE)
    assert migrate.current(engine) == "0002"
    assert set(inspect(engine).get_table_names()) == TABLES
    before = schema(engine)
    migrate.upgrade(engine, PACKAGE)
    assert schema(engine) == before

    migrate.downgrade(engine, PACKAGE, "0001")
    assert migrate.current(engine) == "0001"
    assert [column["name"] for column in inspect(engine).get_columns("thing")] == ["name"]
    migrate.downgrade(engine, PACKAGE, "base")
    assert migrate.current(engine) is None
    assert schema(engine).keys() - NOTHING.keys() == {"alembic_version"}
    assert NOTHING.items() <= schema(engine).items()
    migrate.upgrade(engine, PACKAGE)
    assert schema(engine) == before


def test_the_tables_are_those_that_the_program_declares(engine, toy):
    migrate.upgrade(engine, PACKAGE)
    for table in toy.METADATA.sorted_tables:
        found = {column["name"]: column["nullable"] for column in inspect(engine).get_columns(table.name)}
        assert found == {column.name: column.nullable for column in table.columns}


def test_each_table_of_the_log_has_its_triggers(engine):
    migrate.upgrade(engine, PACKAGE)
    parts = {"sqlite": ("once", "no_update", "no_delete"), "postgresql": ("append_only",)}[engine.dialect.name]
    assert triggers(engine) == {
        f"{table}_{what}" for table in ("log_entry", "log_hash", "log_checkpoint") for what in parts
    }


def test_an_upgrade_that_fails_half_way_leaves_nothing(engine, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = copied(tmp_path, "toy_broken", "CREATE TABLE more (x INTEGER)", "CREATE TABLE more (x INTEGER)")
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(engine, package)
    assert schema(engine) == NOTHING
    migrate.upgrade(engine, PACKAGE)
    assert migrate.current(engine) == "0002"


def test_a_newer_database_is_refused(engine, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    migrate.upgrade(engine, copied(tmp_path, "toy_newer", "CREATE TABLE more (x INTEGER)"))
    for refused in (lambda: migrate.upgrade(engine, PACKAGE), lambda: migrate.downgrade(engine, PACKAGE, "base")):
        with pytest.raises(ConfigurationError, match=r"newer version.*restore the backup"):
            refused()
    assert migrate.current(engine) == "0003"


def test_a_revision_that_is_not_there_is_refused(engine):
    migrate.upgrade(engine, PACKAGE)
    with pytest.raises(ConfigurationError, match="revision"):
        migrate.downgrade(engine, PACKAGE, "9999")

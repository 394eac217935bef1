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
def engine(tmp_path, toy):
    engine = open_engine(tmp_path / "100% new.db")
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
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()


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
    assert inspect(engine).get_table_names() == ["alembic_version"]
    migrate.upgrade(engine, PACKAGE)
    assert schema(engine) == before


def test_the_tables_are_those_that_the_program_declares(engine, toy):
    migrate.upgrade(engine, PACKAGE)
    for table in toy.METADATA.sorted_tables:
        found = {column["name"]: column["nullable"] for column in inspect(engine).get_columns(table.name)}
        assert found == {column.name: column.nullable for column in table.columns}


def test_each_table_of_the_log_has_its_three_triggers(engine):
    migrate.upgrade(engine, PACKAGE)
    triggers = {name for kind, name, _ in schema(engine) if kind == "trigger"}
    assert triggers == {
        f"{table}_{what}"
        for table in ("log_entry", "log_hash", "log_checkpoint")
        for what in ("once", "no_update", "no_delete")
    }


def test_an_upgrade_that_fails_half_way_leaves_nothing(engine, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = copied(tmp_path, "toy_broken", "CREATE TABLE more (x)", "CREATE TABLE more (x)")
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(engine, package)
    assert schema(engine) == []
    migrate.upgrade(engine, PACKAGE)
    assert migrate.current(engine) == "0002"


def test_a_newer_database_is_refused(engine, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    migrate.upgrade(engine, copied(tmp_path, "toy_newer", "CREATE TABLE more (x)"))
    for refused in (lambda: migrate.upgrade(engine, PACKAGE), lambda: migrate.downgrade(engine, PACKAGE, "base")):
        with pytest.raises(ConfigurationError, match=r"newer version.*restore the backup"):
            refused()
    assert migrate.current(engine) == "0003"


def test_a_revision_that_is_not_there_is_refused(engine):
    migrate.upgrade(engine, PACKAGE)
    with pytest.raises(ConfigurationError, match="revision"):
        migrate.downgrade(engine, PACKAGE, "9999")

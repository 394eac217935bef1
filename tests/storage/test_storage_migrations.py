from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from sojourn.errors import ConfigurationError
from sojourn.storage import migrate, postgresql
from sojourn.storage.engine import open_engine
from sojourn.storage.revisions import heads

PACKAGE = "toy_migrations"
TABLES = {"alembic_version", "log_checkpoint", "log_entry", "log_hash", "thing"}


@pytest.fixture
def engine(databases, toy):
    engine = open_engine(databases.empty())
    yield engine
    engine.dispose()


@pytest.mark.parametrize("package", ["sojourn.hub.migrations", "sojourn.node.migrations"])
def test_files_are_called_by_what_alembic_reads_in_them(package):
    scripts = ScriptDirectory.from_config(migrate._config(package))
    assert heads(package) == ({script.revision for script in scripts.walk_revisions()}, scripts.get_current_head())


def test_a_start_with_nothing_to_do_loads_no_alembic(tmp_path):
    program = (
        "import sys; from pathlib import Path; from sojourn.storage.migrate import open_migrated\n"
        f"open_migrated(Path({str(tmp_path / 'x.db')!r}), None, 'sojourn.hub.migrations').dispose()\n"
        "print('alembic' in sys.modules)"
    )
    loaded = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert loaded == ["True", "False"]


def copied(folder: Path, name: str, *extra: str) -> str:
    """The toy migrations under another name, with more revisions; each of them is one statement."""
    shutil.copytree(Path(__file__).parent / PACKAGE, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number, statement in enumerate(extra, start=3):
        (folder / name / f"more_{number:04}.py").write_text(
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


HALF_WAY = """
import os, sys
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.create_table("more", sa.Column("x", sa.Integer))
    op.add_column("thing", sa.Column("size", sa.Integer))
    op.execute("UPDATE thing SET size = 1")
    if "WAIT_HALF_WAY" in os.environ:
        print("half way", flush=True)
        sys.stdin.read()
def downgrade():
    op.drop_table("more")
    with op.batch_alter_table("thing") as batch:
        batch.drop_column("size")
"""
UPGRADE = """
import sys
from sojourn.storage import migrate, postgresql
migrate.open_migrated(sys.argv[1], None, "toy_half").dispose()
"""


def test_a_migration_that_is_killed_half_way_leaves_nothing_and_runs_again(databases, toy, key, tmp_path, monkeypatch):
    database = databases.toy()
    with toy.open_store(database, key) as store:
        store.write(toy.entry("a"), toy.adding("a"))
    monkeypatch.syspath_prepend(tmp_path)
    copied(tmp_path, "toy_half")
    (tmp_path / "toy_half" / "more_0003.py").write_text(HALF_WAY)
    environment = os.environ | {"WAIT_HALF_WAY": "1", "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", UPGRADE, database]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as child:
        assert child.stdout.readline() == "half way\n"
        child.kill()
    with toy.open_store(database, key) as store:
        assert (store.read(toy.names), store.verify().ok) == ({"a"}, True)
    engine = open_engine(database)
    assert migrate.current(engine) == "0002"
    assert "more" not in schema(engine)
    migrate.upgrade(engine, "toy_half")
    assert migrate.current(engine) == "0003"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name, size FROM thing").all() == [("a", 1)]
    migrate.downgrade(engine, "toy_half", "0002")
    engine.dispose()
    with toy.open_store(database, key) as store:
        assert (store.read(toy.names), store.verify().ok) == ({"a"}, True)


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


def test_a_database_that_another_program_holds_is_not_waited_for_for_ever(on_postgresql, toy, monkeypatch):
    """PostgreSQL's own words; SQLite's are the same at opening."""
    monkeypatch.setitem(postgresql._SETTINGS, "lock_timeout", "50")
    url = on_postgresql.empty()
    engine = open_engine(url)
    with engine.begin(), pytest.raises(ConfigurationError, match="Another program has the database"):
        migrate.open_migrated(url, None, PACKAGE)
    engine.dispose()

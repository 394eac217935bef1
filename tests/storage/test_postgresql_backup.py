"""Copies of a PostgreSQL database while others write; a hub on PostgreSQL, backed up and restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from sojourn.errors import ConfigurationError
from sojourn.hub import backup as hub_backup
from sojourn.hub import doctor
from sojourn.hub.config import HubHome
from sojourn.hub.program import HubProgram, create, migrate, open_hub
from sojourn.storage.backup import Database, copy_database, load_database
from sojourn.storage.migrate import migrate_as_owner
from sojourn.storage.revisions import revision_of
from sojourn.storage.sealing import Key, Seal


def things(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM thing")) or 0)


def test_a_copy_is_the_state_that_was_looked_at(postgresql: Any, tmp_path: Path) -> None:
    """Somebody writes between the snapshot and the end of the dump: neither the copy nor the look has it."""
    first, second, third = (Database(postgresql.database()) for _ in range(3))
    engine = create_engine(make_url(str(first.where)).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE thing (name text PRIMARY KEY)"))
        connection.execute(text("INSERT INTO thing SELECT 'thing ' || n FROM generate_series(1, 1000) n"))
    busy = engine.connect()
    busy.execute(text("INSERT INTO thing VALUES ('not committed')"))

    def look(connection: Connection) -> int:
        with engine.begin() as other:
            other.execute(text("INSERT INTO thing VALUES ('committed since')"))
        return things(connection)

    assert copy_database(first, tmp_path / "copy", look) == 1000
    busy.commit()
    busy.close()
    engine.dispose()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    load_database(tmp_path / "copy", second)
    assert postgresql.run("SELECT count(*) FROM thing", make_url(str(second.where)).database) == [(1000,)]
    with pytest.raises(ConfigurationError, match="not empty"):
        load_database(tmp_path / "copy", second)
    data = (tmp_path / "copy").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigurationError, match="could not be copied"):
        load_database(tmp_path / "cut", third)
    assert postgresql.run("SELECT 1 FROM pg_class WHERE relname = 'thing'", make_url(str(third.where)).database) == []


@pytest.mark.parametrize("running", [True, False])
def test_a_hub_on_postgresql_comes_back(postgresql: Any, tmp_path: Path, running: bool) -> None:
    """Also where the hub's role owns nothing: it may read all that a backup holds."""
    role = f"program_{running}".lower()
    postgresql.run(f"CREATE ROLE {role} LOGIN")
    owner, fresh = postgresql.database(), postgresql.database()
    ours = postgresql.url(make_url(owner).database, role=role)
    home = create(tmp_path / "hub", "wards.test", "127.0.0.1", 0, [], ours)
    migrate(home.folder, owner)
    hub = open_hub(home)
    hub.add_project("wards")
    hub.close()
    end: Callable[[], None] = lambda: None  # noqa: E731
    if running:
        program = HubProgram(home)
        program.start()
        end = program.stop
    try:
        kept = hub_backup.back_up(home.folder, tmp_path / "hub.tar", Seal.plain())
    finally:
        end()
    assert kept.manifest.engine == "postgresql"
    with pytest.raises(ConfigurationError, match="not empty"):
        hub_backup.restore(tmp_path / "hub.tar", Key(), tmp_path / "again")
    manifest = hub_backup.restore(tmp_path / "hub.tar", Key(), tmp_path / "again", fresh)
    assert manifest.digest == kept.manifest.digest
    restored = HubHome.load(tmp_path / "again")
    assert restored.database == fresh
    for check in ("database", "log"):
        [found] = [one for one in doctor.examine(restored.folder) if one.check == check]
        assert found.verdict == "ok", found
    hub = open_hub(restored)
    try:
        assert hub.store.checkpoint() == manifest.checkpoint
        hub.add_project("more")
        with pytest.raises(ConfigurationError, match="already"):
            hub.add_project("wards")
    finally:
        hub.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "hub", "hub.tar"]


def test_a_role_that_owns_nothing_may_copy_all_of_a_node(postgresql: Any, tmp_path: Path) -> None:
    """Its ledger counts by a sequence, which a dump reads too."""
    postgresql.run("CREATE ROLE custodian LOGIN")
    owner = postgresql.database()
    ours = postgresql.url(make_url(owner).database, role="custodian")
    revision = migrate_as_owner(owner, None, "sojourn.node.migrations", ours)
    assert copy_database(Database(ours), tmp_path / "copy", revision_of) == revision

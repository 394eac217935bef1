from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sojourn.identity.keys import PrivateKey
from sojourn.storage import migrate
from sojourn.storage.engine import open_engine


@pytest.fixture(scope="session")
def toy():
    """The toy program's module; its migrations can be imported by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import toy_program

        yield toy_program


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def template(tmp_path_factory, toy) -> Path:
    path = tmp_path_factory.mktemp("template") / "toy.db"
    engine = open_engine(path)
    migrate.upgrade(engine, "toy_migrations")
    engine.dispose()
    return path


@pytest.fixture
def database(tmp_path, template) -> Path:
    """A migrated, empty database of the toy party."""
    return Path(shutil.copy(template, tmp_path / "toy.db"))


@pytest.fixture
def store(database, toy, key):
    with toy.open_store(database, key) as store:
        yield store


@contextmanager
def stranger(path: Path, *, without_triggers: bool = False) -> Iterator[sqlite3.Connection]:
    """Someone with the file and another program: no authorizer; no triggers either, if they drop them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if without_triggers:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
        yield connection


@pytest.fixture
def as_stranger():
    return stranger

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url

from sojourn.identity.keys import PrivateKey
from sojourn.storage import migrate
from sojourn.storage.engine import open_engine

ENGINES = ("sqlite", "postgresql")


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


def migrated(database: str) -> None:
    engine = open_engine(database)
    migrate.upgrade(engine, "toy_migrations")
    engine.dispose()


@pytest.fixture(scope="session")
def template(tmp_path_factory, toy) -> Path:
    path = tmp_path_factory.mktemp("template") / "toy.db"
    migrated(str(path))
    return path


@dataclass(frozen=True)
class Databases:
    """Databases of one engine: how to have a new one, empty, with the toy's tables, or as a copy; as paths or URLs.

    copy: of a database that nobody is connected to.
    """

    engine: str
    empty: Callable[[], str]
    toy: Callable[[], str]
    copy: Callable[[str], str]


def of_sqlite(request) -> Databases:
    folder: Path = request.getfixturevalue("tmp_path")
    template: Path = request.getfixturevalue("template")
    numbers = itertools.count()

    def new() -> Path:
        return folder / f"100% new {next(numbers)}.db"  # a percent sign begins a substitution in Alembic's settings

    def copied(path: str | Path) -> str:
        return str(shutil.copy(path, new()))

    return Databases("sqlite", lambda: str(new()), lambda: copied(template), copied)


def of_postgresql(request) -> Databases:
    server = request.getfixturevalue("postgresql")
    request.getfixturevalue("toy")

    def copied(url: str) -> str:
        return server.database(make_url(url).database)

    return Databases("postgresql", server.database, lambda: server.copy("toy", migrated), copied)


@pytest.fixture(params=ENGINES)
def databases(request) -> Databases:
    """What is tested on both engines."""
    return {"sqlite": of_sqlite, "postgresql": of_postgresql}[request.param](request)


@pytest.fixture
def on_sqlite(request) -> Databases:
    """What is SQLite's own."""
    return of_sqlite(request)


@pytest.fixture
def on_postgresql(request) -> Databases:
    """What is PostgreSQL's own."""
    return of_postgresql(request)


@pytest.fixture
def database(databases) -> str:
    """A migrated, empty database of the toy party."""
    return databases.toy()


@pytest.fixture
def store(database, toy, key):
    with toy.open_store(database, key) as store:
        yield store


@contextmanager
def stranger(database: str, *, without_triggers: bool = False) -> Iterator[Connection]:
    """Someone with the database and another program: no guard; no triggers either, if they drop them."""
    url = make_url(database.replace("postgresql:", "postgresql+psycopg:") if "://" in database else "sqlite://")
    if url.get_backend_name() == "sqlite":
        url = url.set(database=database)
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            if without_triggers:
                drop_triggers(connection)
            yield connection
    finally:
        engine.dispose()


def drop_triggers(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        statements = [f"DROP TRIGGER {name}" for (name,) in found]
    else:
        found = connection.exec_driver_sql("SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal")
        statements = [f"DROP TRIGGER {name} ON {table}" for name, table in found]
    assert statements
    for statement in statements:
        connection.exec_driver_sql(statement)


@pytest.fixture
def as_stranger():
    return stranger

"""PostgreSQL's own: which servers and URLs are accepted, what is demanded of them, how its transactions take turns."""

from __future__ import annotations

import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import InternalError, OperationalError

from postgresql_server import PASSWORD, ROLE
from sojourn.errors import ConfigurationError
from sojourn.storage import postgresql as product
from sojourn.storage.engine import READ_ONLY, in_transaction, open_engine

SECRET = "hunter2 of the hub"


@contextmanager
def opened(*arguments):
    engine = open_engine(*arguments)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def url(on_postgresql) -> str:
    return on_postgresql.empty()


@pytest.fixture
def by_network(url, postgresql) -> str:
    """The same over the loopback, where a password is asked for."""
    return postgresql.url_by_network(make_url(url).database)


@pytest.fixture
def password_file(tmp_path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def refused(*arguments) -> str:
    """The words of the refusal, which hold no password; nor does what a traceback would print."""
    with pytest.raises(ConfigurationError) as caught:
        open_engine(*arguments)
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told and SECRET not in told
    return str(caught.value)


# ---- opening


def test_both_forms_of_a_url_open(url):
    for form in (url, url.replace("postgresql:", "postgresql+psycopg:")):
        with opened(form) as engine:
            assert (engine.dialect.name, engine.dialect.driver) == ("postgresql", "psycopg")


def test_the_password_comes_from_a_file(by_network, password_file):
    with opened(by_network, password_file) as engine, engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar() == ROLE
        assert PASSWORD not in repr(engine)


def test_the_password_comes_from_the_persons_own_file(by_network, tmp_path, monkeypatch):
    path = tmp_path / "pgpass"
    path.write_text(f"127.0.0.1:*:*:{ROLE}:{PASSWORD}\n")
    path.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))
    with opened(by_network) as engine:
        assert engine.dialect.name == "postgresql"


def test_a_wrong_password_is_refused(by_network, password_file):
    password_file.write_text(SECRET)
    assert "database_password_file" in refused(by_network, password_file)


def test_no_password_is_refused(by_network, monkeypatch, tmp_path):
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    assert "database_password_file" in refused(by_network)


def test_a_password_in_a_url_is_refused(by_network):
    assert "holds a password" in refused(by_network.replace("@", ":hunter2%20of%20the%20hub@"))


def test_a_password_file_that_others_may_read_is_refused(by_network, password_file):
    password_file.chmod(0o644)
    assert "chmod 600 password" in refused(by_network, password_file)


def test_a_password_file_that_is_not_there_is_refused(by_network, tmp_path):
    assert "cannot be read" in refused(by_network, tmp_path / "none")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sojourn@127.0.0.1:1/x", "127.0.0.1:1 cannot be reached"),
        ("sojourn@nowhere.invalid/x", "nowhere.invalid:5432 cannot be reached"),
        ("sojourn@/x?host=/nonexistent", "/nonexistent:5432 cannot be reached"),
        ("sojourn@127.0.0.1:1", "names no database"),
        ("sojourn@127.0.0.1:1/x?options=-csynchronous_commit%3Doff", "words that are not for it: options"),
        ("sojourn@127.0.0.1:1/x?password=hunter2%20of%20the%20hub", "words that are not for it: password"),
    ],
)
def test_a_server_that_is_not_there_and_a_url_that_says_too_much_are_refused(place, said):
    assert said in refused(f"postgresql://{place}")


@pytest.mark.parametrize("url", ["postgresql+asyncpg://h/x", "mysql://h/x"])
def test_other_drivers_and_databases_are_refused(url):
    assert "no database that Sojourn can use" in refused(url)


def test_a_database_or_role_that_is_not_there_is_refused(postgresql, url):
    assert "createdb" in refused(postgresql.url("nothing_here"))
    assert "createuser" in refused(postgresql.url(make_url(url).database, role="nobody_here"))


def test_a_server_on_another_machine_is_spoken_to_over_tls(by_network, password_file, monkeypatch):
    """The test's server has no TLS, so that taking the loopback for another machine shows what is demanded."""
    monkeypatch.setattr(product, "is_here", lambda url: False)
    assert "sslmode=verify-full" in refused(by_network, password_file)


def test_without_the_driver_the_extra_is_named():
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from sojourn.storage.engine import open_engine\n"
        "from sojourn.errors import ConfigurationError\n"
        "try: open_engine('postgresql://h/x')\n"
        "except ConfigurationError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'sojourn[postgresql]'" in said


# ---- what is demanded


def test_an_old_server_is_refused(url, monkeypatch):
    monkeypatch.setattr(product, "OLDEST", 99)
    assert "Use version 99 or later" in refused(url)


def test_another_encoding_is_refused(postgresql):
    postgresql.run(f"CREATE DATABASE latin OWNER {ROLE} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    assert "LATIN1" in refused(postgresql.url("latin"))


@pytest.mark.parametrize("of", ["DATABASE {database}", "ROLE sojourn IN DATABASE {database}"])
def test_commits_that_are_not_durable_are_refused(postgresql, url, of):
    postgresql.run(f"ALTER {of.format(database=make_url(url).database)} SET synchronous_commit = off")
    assert "synchronous_commit = off" in refused(url)


def test_a_server_without_fsync_is_refused(postgresql, url):
    postgresql.run("ALTER SYSTEM SET fsync = off")
    postgresql.restart()
    try:
        assert "fsync = off" in refused(url)
    finally:
        postgresql.run("ALTER SYSTEM RESET fsync")
        postgresql.restart()
    with opened(url) as engine:
        assert engine.dialect.name == "postgresql"


def test_a_role_without_a_schema_is_refused(postgresql, url):
    postgresql.run("REVOKE ALL ON SCHEMA public FROM PUBLIC", make_url(url).database)
    postgresql.run("CREATE ROLE guest LOGIN")
    assert "GRANT USAGE" in refused(postgresql.url(make_url(url).database, role="guest"))


# ---- transactions


def test_every_wait_has_an_end_on_every_connection(url):
    expected = {"lock_timeout": "5s", "statement_timeout": "45s", "idle_in_transaction_session_timeout": "1min"}
    with opened(url) as engine, engine.connect() as first, engine.connect() as second:
        for connection in (first, second.execution_options(**{READ_ONLY: True})):
            found = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in expected}
            assert found == expected


def test_a_temporary_table_does_not_hide_another(url):
    with opened(url) as engine, engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW search_path").scalar() == "public, pg_temp"


def test_a_writer_takes_the_turn_at_once_and_a_reader_does_not_wait(url, monkeypatch):
    monkeypatch.setitem(product._SETTINGS, "lock_timeout", "50")
    with opened(url) as here, opened(url) as there, here.begin() as writer:
        assert in_transaction(writer)
        with there.connect() as second, pytest.raises(OperationalError, match="lock timeout"):
            second.begin()
        with there.connect().execution_options(**{READ_ONLY: True}) as reader:
            assert reader.exec_driver_sql("SELECT count(*) FROM pg_class").scalar() > 0


def test_a_reader_sees_one_committed_state_and_changes_nothing(on_postgresql, toy, key):
    database = on_postgresql.toy()
    with toy.open_store(database, key) as store, toy.open_store(database, key) as other:

        def query(connection):
            before = toy.counts(connection)
            other.write(toy.entry("a"), toy.adding("a"))
            with pytest.raises(InternalError, match="read-only"), connection.begin_nested():
                connection.exec_driver_sql("WITH new AS (INSERT INTO thing VALUES ('b') RETURNING 1) TABLE new")
            return before, toy.counts(connection)

        assert store.read(query) == ((0, 0), (0, 0))
        assert store.read(toy.counts) == (1, 1)
        store.write(toy.entry("c"), toy.adding("c"))  # the connection that read writes again


def test_the_schema_changes_in_migrations_only(url):
    with opened(url) as engine, engine.connect() as connection:
        with pytest.raises(Exception, match="not authorized"):
            connection.exec_driver_sql("CREATE TABLE thing (name TEXT)")
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE tablename = 'thing'").scalar() == 0


def test_a_text_that_the_database_does_not_hold_is_refused_in_words(on_postgresql, toy, key):
    with toy.open_store(on_postgresql.toy(), key) as store:
        with pytest.raises(ConfigurationError, match="control characters"):
            store.write(toy.entry("a"), toy.adding("Ada\0Lovelace"))
        with pytest.raises(ConfigurationError, match="control characters"):
            store.read(lambda connection: connection.execute(toy.THING.select().where(toy.THING.c.name == "\0")))
        store.write(toy.entry("b"), toy.adding("b"))
        assert store.read(toy.counts) == (1, 1)

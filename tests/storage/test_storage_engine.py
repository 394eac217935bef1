from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest
from sqlalchemy import text

from sojourn.errors import ConfigurationError
from sojourn.storage.engine import READ_ONLY, in_transaction, open_engine


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(tmp_path / "new.db")
    yield engine
    engine.dispose()


def test_the_settings_hold_on_every_connection(engine):
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000} | {
        "trusted_schema": 0,
        "cell_size_check": 1,
    }
    with engine.connect() as first, engine.connect().execution_options(**{READ_ONLY: True}) as second:
        for connection in (second, first):
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
            assert found == expected


def test_all_its_files_are_private(engine, tmp_path):
    before = os.umask(0)
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE thing (name TEXT)"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "open.db"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        open_engine(path)


def test_a_writer_takes_the_lock_at_once_and_a_reader_does_not_wait(engine, tmp_path):
    with engine.begin() as writer, closing(sqlite3.connect(tmp_path / "new.db", timeout=0)) as other:
        assert in_transaction(writer)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        with engine.connect().execution_options(**{READ_ONLY: True}) as reader:
            assert reader.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


def test_schema_changes_are_part_of_the_transaction(engine):
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE thing (name TEXT)"))
        connection.rollback()
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


@pytest.mark.parametrize("place", [0, 4096 + 3, "cut", "text"])
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path, place):
    path = tmp_path / "damaged.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE thing (name TEXT)")
        connection.executemany("INSERT INTO thing VALUES (?)", [("x" * 500,)] * 200)
        connection.commit()
    raw = bytearray(path.read_bytes())
    if place == "cut":
        del raw[len(raw) // 2 :]
    elif place == "text":
        raw = bytearray(b"This is not a database at all. " * 200)
    else:
        raw[place : place + 64] = os.urandom(64)
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"damaged.*restore the latest backup"):
        open_engine(path)


def test_a_url_of_a_file_is_a_file(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'url.db'}")
    assert (tmp_path / "url.db").exists()
    engine.dispose()


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://", "sqlite:///x.db?mode=ro", "://"])
def test_other_databases_are_refused(url):
    with pytest.raises(ConfigurationError):
        open_engine(url)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        open_engine(tmp_path / "nowhere" / "x.db")

"""Copies of a PostgreSQL database while others write, by a server of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from sojourn.errors import ConfigurationError
from sojourn.storage.backup import Database, copy_database, load_database

BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/nowhere"))


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """The folder of the socket of a fresh server that listens on nothing else."""
    if not (BIN / "initdb").exists():
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path must be short
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = str(folder / "data")
    words = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"
    try:
        init = [str(BIN / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions"]
        subprocess.run([*user, *init], check=True, capture_output=True, cwd=folder)
        start = [str(BIN / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", words, "start"]
        subprocess.run([*user, *start], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        yield folder
        subprocess.run([*user, str(BIN / "pg_ctl"), "-D", data, "-m", "fast", "stop"], check=True, capture_output=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def database(server: Path, name: str) -> Database:
    """A new, empty database."""
    subprocess.run([str(BIN / "createdb"), "-h", str(server), "-U", "postgres", name], check=True)
    return Database(f"postgresql://postgres@/{name}?host={server}")


def things(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM thing")))


def test_a_copy_is_the_state_that_was_looked_at(server: Path, tmp_path: Path) -> None:
    """Somebody writes between the snapshot and the dump: neither the copy nor the look has it."""
    first, second = database(server, "first"), database(server, "second")
    engine = create_engine(first.url)
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
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    load_database(tmp_path / "copy", second)
    other = create_engine(second.url)
    with other.connect() as connection:
        assert things(connection) == 1000
    with pytest.raises(ConfigurationError, match="not empty"):
        load_database(tmp_path / "copy", second)
    data = (tmp_path / "copy").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigurationError, match="could not be copied"):
        load_database(tmp_path / "cut", database(server, "third"))
    engine.dispose()
    other.dispose()

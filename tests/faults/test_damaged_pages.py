"""C18: pages of a database that were flipped on the disk, each of them in turn, and bytes inside the log's rows."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest

import sojourn as sj
from sojourn.audit.entry import Entry
from sojourn.errors import AuditError, SojournError
from sojourn.hub import program as hub_program
from sojourn.hub.config import HubHome
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.storage.store import Store
from sojourn.storage.verifier import Verifier
from sojourn.testbed import Federation
from sojourn.wire.authorities import create_authority

SITES = ("Avon", "Brent", "Cam")
RESTORE = "restore the latest backup"


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The homes of a hub and of its nodes, after studies, at rest."""
    kept = tmp_path_factory.mktemp("homes")
    frame = pd.DataFrame({"sick": [place % 3 == 0 for place in range(200)]})
    with Federation({site: {"patients": frame} for site in SITES}) as federation:
        for _ in range(3):
            federation.run(sj.Plan(table="patients", analyses={"count": sj.count(by="sick")}))
        for name, database in (("hub", "hub/hub.db"), ("Avon", "nodes/Avon/node.db")):
            source, target = federation.folder / database, kept / name / Path(database).name
            shutil.copytree(source.parent, target.parent, ignore=shutil.ignore_patterns("*.sock", "*.db*"))
            with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
                one.backup(other)
            target.chmod(0o600)
            target.parent.chmod(0o700)
    HubHome(kept / "hub", "testbed", "localhost", 0).save()
    node = NodeHome.load(kept / "Avon").joined("https://localhost:1", "testbed")
    node.save()
    (kept / "authority").mkdir()
    create_authority(kept / "authority")
    shutil.copy(kept / "authority" / "ca.pem", node.authority)
    shutil.copy(kept / "hub" / "log.key.pub", node.folder / "hub-log.pub")
    return kept


@pytest.fixture(params=["hub", "Avon"])
def database(request: pytest.FixtureRequest, homes: Path, tmp_path: Path) -> Path:
    """One party's database in a home of its own."""
    home = Path(shutil.copytree(homes / request.param, tmp_path / request.param))
    home.chmod(0o700)
    return next(home.glob("*.db"))


@contextmanager
def store_of(database: Path) -> Iterator[Store]:
    """The store as its program opens it."""
    if database.name == "hub.db":
        party = hub_program.open_hub(HubHome.load(database.parent))
    else:
        party = node_program.open_node(NodeHome.load(database.parent))
    try:
        yield party.store
    finally:
        party.close()


def started(database: Path) -> None:
    """What a program does with its database before it starts."""
    with store_of(database) as store:
        verifier = Verifier(store, lambda words: None)
        verifier.start()
        verifier.close()


def refusal(database: Path) -> SojournError | None:
    """Why a program does not start on this database."""
    try:
        started(database)
    except SojournError as error:
        return error
    return None


def pages(database: Path) -> Iterator[tuple[int, int]]:
    """Where each page begins, and how long it is."""
    with closing(sqlite3.connect(database)) as connection:
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
        ((count,),) = connection.execute("PRAGMA page_count").fetchall()
        assert connection.execute("PRAGMA freelist_count").fetchall() == [(0,)]
    return ((number * size, size) for number in range(count))


def flipped(raw: bytes, at: int, length: int) -> bytes:
    return raw[:at] + bytes(byte ^ 0xFF for byte in raw[at : at + length]) + raw[at + length :]


def test_every_page_that_is_flipped_is_found_before_the_start(database: Path) -> None:
    started(database)
    sound = database.read_bytes()
    missed = []
    for at, size in pages(database):
        database.write_bytes(flipped(sound, at, size))
        error = refusal(database)
        if error is None or RESTORE not in error.remedy:
            missed.append((at // size, error))
        for rest in ("-wal", "-shm"):
            database.with_name(database.name + rest).unlink(missing_ok=True)
    assert missed == []
    database.write_bytes(sound)
    started(database)


def test_damage_that_is_no_text_is_found_too(database: Path) -> None:
    """SQLite names what is damaged, and the name may be damaged."""
    sound = database.read_bytes()
    at = sound.index(b"sqlite_autoindex_")
    database.write_bytes(sound[:at] + bytes([sound[at] ^ 0x80]) + sound[at + 1 :])
    error = refusal(database)
    assert error is not None and RESTORE in error.remedy


def entries(database: Path) -> list[bytes]:
    with closing(sqlite3.connect(database)) as connection:
        return [data for (data,) in connection.execute("SELECT data FROM log_entry ORDER BY position")]


def test_every_flipped_entry_of_the_log_is_found_before_the_start(database: Path) -> None:
    """The pages keep their form, and SQLite has no complaint: the log's hashes have."""
    sound = database.read_bytes()
    for entry in entries(database):
        assert sound.count(entry) == 1
        database.write_bytes(flipped(sound, sound.index(entry) + len(entry) // 2, 1))
        with pytest.raises(AuditError, match="does not verify") as caught:
            started(database)
        assert RESTORE in caught.value.remedy


def test_a_program_with_a_damaged_database_does_not_start(database: Path) -> None:
    """A page at the hub, an entry of the log at a node."""
    words, sound = ("hub" if database.name == "hub.db" else "node"), database.read_bytes()
    at, length = (4096, 4096) if words == "hub" else (sound.index(entries(database)[1]) + 40, 1)
    database.write_bytes(flipped(sound, at, length))
    command = [sys.executable, "-m", "sojourn", words, "start", "--home", str(database.parent)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and RESTORE in ended.stderr and "Traceback" not in ended.stderr


def test_a_long_log_is_verified_while_the_program_runs_and_then_stops_it(database: Path) -> None:
    sound = database.read_bytes()
    database.write_bytes(flipped(sound, sound.index(entries(database)[1]) + 40, 1))
    told: list[str] = []
    with store_of(database) as store:
        store.write(Entry("site.seen", "test"), lambda connection: None)
        verifier = Verifier(store, told.append, at_once=0)
        verifier.start()
        until(lambda: told)
        with pytest.raises(AuditError, match="does not verify"):
            store.write(Entry("site.seen", "test"), lambda connection: None)
        assert "does not verify" in told[0] and RESTORE in told[0]
        verifier.close()


def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)

"""The server dies, is restarted, cut off or frozen at every step of a write: the answer is true, the next write works.

A commit whose answer is lost is the hard case: a proxy between store and server cuts just there.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from postgresql_server import PASSWORD
from sojourn.errors import AuditError
from sojourn.storage import postgresql as product
from sojourn.storage import postgresql_guard, verifier
from sojourn.storage.engine import open_engine
from sojourn.storage.log import entries

COMMIT = b"COMMIT\0"
PROGRAM = Path(__file__).parent / "toy_program.py"


class Proxy:
    """Passes bytes on, until it meets the first COMMIT after `fault` was set; then it does that, once.

    lost: the server commits, the answer is thrown away. unsent: the server never hears of it. silent: as lost, but
    nobody is told that the connection is over. lasting: nothing is let through afterwards either.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.fault = ""
        self.lasting = False
        self.closed_to_all = False
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.closed_to_all:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), selectors.DefaultSelector() as ready, server:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for found, _ in ready.select():
                    data = found.fileobj.recv(65536)
                    if not data:
                        client.close()
                        return
                    if found.fileobj is client and self.fault and COMMIT in data:
                        self._fail(client, server, data)
                        return
                    found.data.sendall(data)
        client.close()

    def _fail(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        fault, self.fault = self.fault, ""
        self.closed_to_all = self.lasting
        if fault != "unsent":
            server.sendall(data)
            assert server.recv(65536)  # it has committed
        if fault == "silent":
            self._kept.append(client)
        else:
            client.close()

    def close(self) -> None:
        self._listener.close()
        for kept in self._kept:
            kept.close()


@pytest.fixture
def database(on_postgresql):
    return on_postgresql.toy()


@pytest.fixture
def store(database, toy, key):
    with toy.open_store(database, key) as store:
        yield store


@pytest.fixture
def proxy(postgresql):
    proxy = Proxy(postgresql.port)
    yield proxy
    proxy.close()


@pytest.fixture
def far_store(database, postgresql, proxy, toy, key, tmp_path):
    """A store behind the proxy."""
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD)
    url = postgresql.url_by_network(make_url(database).database).replace(str(postgresql.port), str(proxy.port))
    with toy.Store(open_engine(url, path), toy.METADATA, key, toy.ORIGIN, toy.clock, patience=10.0) as store:
        yield store


def logged(store, toy):
    found = store.read(lambda connection: list(entries(connection, toy.LOG)))
    return [json.loads(data)["facts"]["name"] for data in found]


def end_of(postgresql, connection) -> None:
    """The administrator ends the session that this connection has."""
    number = connection.connection.dbapi_connection.info.backend_pid
    assert postgresql.run(f"SELECT pg_terminate_backend({number}, 10000)") == [(True,)]


def test_a_connection_lost_inside_an_action_undoes_it(store, toy, postgresql):
    def action(connection):
        toy.adding("lost")(connection)
        end_of(postgresql, connection)
        toy.adding("lost too")(connection)

    store.write(toy.entry("a"), toy.adding("a"))
    with pytest.raises(AuditError, match="nothing has happened"):
        store.write(toy.entry("lost"), action)
    store.write(toy.entry("b"), toy.adding("b"))
    assert store.read(toy.names) == {"a", "b"}
    assert logged(store, toy) == ["a", "b"]


def test_a_connection_lost_before_the_append_undoes_it(store, toy, postgresql):
    with pytest.raises(AuditError, match="nothing has happened"):
        store.write(toy.entry("lost"), lambda connection: end_of(postgresql, connection))
    store.write(toy.entry("b"), toy.adding("b"))
    assert logged(store, toy) == ["b"]


def test_a_connection_lost_while_reading_is_told_and_the_next_one_works(store, toy, postgresql):
    def query(connection):
        end_of(postgresql, connection)
        return toy.names(connection)

    with pytest.raises(AuditError, match="cannot be read now"):
        store.read(query)
    assert store.read(toy.names) == set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_after_a_restart_of_the_server_the_next_words_work(store, toy, postgresql, how):
    store.write(toy.entry("a"), toy.adding("a"))
    store.read(toy.names)
    postgresql.halt(how)
    postgresql.start()
    store.write(toy.entry("b"), toy.adding("b"))
    assert store.read(toy.names) == {"a", "b"}
    assert store.verify().ok


def test_while_the_server_is_away_nothing_happens_and_callers_are_told(store, toy, postgresql):
    store.write(toy.entry("a"), toy.adding("a"))
    postgresql.halt()
    try:
        for _ in range(2):
            with pytest.raises(AuditError, match="nothing has happened"):
                store.write(toy.entry("b"), toy.adding("b"))
            with pytest.raises(AuditError, match="cannot be read now"):
                store.read(toy.names)
    finally:
        postgresql.start()
    store.write(toy.entry("c"), toy.adding("c"))
    assert store.read(toy.names) == {"a", "c"}
    assert store.verify().ok


@pytest.mark.parametrize("fault", ["lost", "unsent", "silent"])
def test_a_commit_whose_answer_is_lost_is_looked_for(far_store, proxy, store, toy, monkeypatch, fault):
    """The caller hears what is true: after a commit its result, else that nothing has happened."""
    monkeypatch.setattr(postgresql_guard, "LONGEST_WAIT", 1.0)
    far_store.write(toy.entry("a"), toy.adding("a"))
    proxy.fault = fault
    if fault == "unsent":
        with pytest.raises(AuditError, match="nothing has happened"):
            far_store.write(toy.entry("b"), toy.adding("b"))
    else:
        assert far_store.write_indexed(toy.entry("b"), toy.adding("b")) == ("b", 1)
    assert proxy.fault == ""
    happened = ["a"] if fault == "unsent" else ["a", "b"]
    assert logged(store, toy) == happened
    assert far_store.write(toy.entry("c"), toy.adding("c")) == "c"
    assert logged(far_store, toy) == [*happened, "c"]
    assert far_store.verify().ok


def test_a_lost_commit_is_told_from_another_programs(far_store, proxy, store, toy, monkeypatch):
    """Another program appends at the same place before we can look."""
    proxy.fault = "unsent"
    stands = far_store._stands

    def late(appended):
        store.write(toy.entry("theirs"), toy.adding("theirs"))
        return stands(appended)

    monkeypatch.setattr(far_store, "_stands", late)
    with pytest.raises(AuditError, match="nothing has happened"):
        far_store.write(toy.entry("ours"), toy.adding("ours"))
    assert logged(far_store, toy) == ["theirs"]


@pytest.mark.parametrize("fault", ["lost", "unsent"])
def test_where_nobody_can_tell_the_caller_is_told_so(far_store, proxy, store, toy, fault):
    far_store.write(toy.entry("a"), toy.adding("a"))
    far_store._patience = 0.3
    proxy.fault, proxy.lasting = fault, True
    with pytest.raises(AuditError, match="whether this happened is not known"):
        far_store.write(toy.entry("b"), toy.adding("b"))
    proxy.closed_to_all = False
    happened = ["a", "b"] if fault == "lost" else ["a"]
    assert far_store.write_indexed(toy.entry("c"), toy.adding("c")) == ("c", len(happened))
    assert logged(store, toy) == [*happened, "c"]
    assert store.verify().ok


def test_a_frozen_server_is_not_waited_for_for_ever(store, toy, postgresql, monkeypatch):
    monkeypatch.setattr(postgresql_guard, "LONGEST_WAIT", 0.5)
    store.write(toy.entry("a"), toy.adding("a"))

    def freeze(connection):
        number = connection.connection.dbapi_connection.info.backend_pid
        os.kill(number, signal.SIGSTOP)
        try:
            toy.adding("b")(connection)
        finally:
            os.kill(number, signal.SIGCONT)

    with pytest.raises(AuditError, match="nothing has happened"):
        store.write(toy.entry("b"), freeze)
    store.write(toy.entry("c"), toy.adding("c"))
    assert logged(store, toy) == ["a", "c"]


def test_a_server_that_is_away_is_no_damaged_log(store, toy, postgresql, monkeypatch):
    """The verifier stops a party whose log does not verify, and only that one."""
    monkeypatch.setattr(verifier, "SOON", 0.01)
    store.write(toy.entry("a"), toy.adding("a"))
    told, tries = [], []
    monkeypatch.setattr(store, "verify", lambda verify=store.verify: (tries.append(1), verify())[1])
    watching = verifier.Verifier(store, told.append, at_once=0, every=0.01)
    postgresql.halt()
    try:
        watching.start()
        end = time.monotonic() + 30
        while len(tries) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        postgresql.start()
    seen = len(tries)
    while len(tries) < seen + 3 and time.monotonic() < end:
        time.sleep(0.01)
    watching.close()
    watching._thread.join(30)
    assert seen >= 3 and len(tries) >= seen + 3
    assert told == []
    store.write(toy.entry("b"), toy.adding("b"))


def test_a_program_that_is_frozen_with_the_turn_gives_it_up(database, toy, key, monkeypatch):
    monkeypatch.setitem(product._SETTINGS, "idle_in_transaction_session_timeout", "300")
    frozen = open_engine(database)
    with toy.open_store(database, key) as store, frozen.connect() as connection:
        connection.begin()
        store.write(toy.entry("a"), toy.adding("a"))  # waits for the turn, and has it after 0.3 s
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
            connection.exec_driver_sql("SELECT 1")
    frozen.dispose()


def test_processes_append_to_one_log_in_turn_and_the_servers_crash_loses_nothing(
    database, postgresql, toy, key, tmp_path
):
    """Two programs write until the server crashes under them; what they were told is there."""
    key.save(tmp_path / "log.key")
    command = [sys.executable, str(PROGRAM), database, str(tmp_path / "log.key")]
    programs = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for name in ("x", "y")
    ]
    try:
        told = [program.stdout.readline() for _ in range(40) for program in programs]
        postgresql.halt(signal.SIGQUIT)
        postgresql.start()
    finally:
        for program in programs:
            program.kill()
    for program in programs:
        told += program.communicate(timeout=60)[0].splitlines(keepends=True)
    with toy.open_store(database, key) as store:
        assert {f"thing {line.strip()}" for line in told if line.endswith("\n")} <= store.read(toy.names)
        things, log = store.read(toy.counts)
        assert things == log
        assert store.verify().ok

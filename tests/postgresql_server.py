"""A private PostgreSQL server for the tests: Debian's programs, a folder of its own, a socket and a spare port."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

ROLE = "sojourn"  # an ordinary role that owns the databases, as an administrator would make one
PASSWORD = "correct horse battery staple"
_SETTINGS = {"listen_addresses": "127.0.0.1", "shared_buffers": "32MB", "autovacuum": "off", "wal_level": "minimal"} | {
    "max_wal_senders": "0",
    "max_connections": "80",
}
_PREFIX = "sojourn-pg-"
_RULES = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def programs() -> Path | None:
    """Where the newest server's programs are, if there are any: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    places = [*([Path(found).resolve().parent] if found else []), *reversed(folders)]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class Server:
    """Started at once; `stop` ends it by its own process id and removes its files."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        memory = Path("/dev/shm")  # a disk that needs no flushing: fsync stays on, as the product demands
        base = memory if os.access(memory, os.W_OK) else None
        _sweep(base)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        self.port = _free_port()
        self._numbers = itertools.count()
        self._templates: dict[str, str] = {}
        self._drop: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            person = _unprivileged()
            self._drop = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
            os.chown(self.folder, person.pw_uid, person.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._make()
            self.start()
            self.run(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        except BaseException:
            self.stop()
            raise

    def _make(self) -> None:
        words = ["--pgdata", "data", "--username", "postgres", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        command = [str(self._binaries / "initdb"), *words]
        made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._drop)
        assert made.returncode == 0, made.stderr
        (self.folder / "data" / "pg_hba.conf").write_text(_RULES)

    def start(self) -> None:
        """Begin to serve; also again after `kill` or `halt`."""
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            command = [str(self._binaries / "postgres"), "-D", "data", *words]
            words = {"stdout": log, "stderr": log, "preexec_fn": _die_with_parent, **self._drop}
            self._process = subprocess.Popen(command, cwd=self.folder, **words)
        end = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.02)

    def halt(self, number: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT in order, though clients are connected; SIGQUIT as in a crash."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)

    def restart(self) -> None:
        """As an administrator's restart."""
        self.halt()
        self.start()

    def stop(self) -> None:
        """End it for good."""
        if self._process is not None and self._process.poll() is None:
            self.halt(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What the server said last."""
        return (self.folder / "server.log").read_text()[-3000:]

    def _answers(self) -> bool:
        import psycopg

        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self, database: str = "postgres") -> Any:
        """A superuser's own connection, outside of all that the product does; each statement commits."""
        import psycopg

        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
            gssencmode="disable",
            connect_timeout=5,
        )

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """One statement of a superuser; its rows."""
        with self.admin(database) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def url(self, database: str, role: str = ROLE) -> str:
        """Over the socket, without a password."""
        return f"postgresql://{role}@:{self.port}/{database}?host={self.folder}"

    def url_by_network(self, database: str, role: str = ROLE) -> str:
        """Over the loopback, with a password."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        """A new database, as the owner's URL."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} ENCODING 'UTF8'")
        return self.url(name)

    def copy(self, kind: str, prepare: Callable[[str], None]) -> str:
        """A new database like the one of this kind, which is prepared once."""
        if kind not in self._templates:
            url = self.database()
            prepare(url)
            self._templates[kind] = str(make_url(url).database)
        return self.database(self._templates[kind])


def _die_with_parent() -> None:
    """In the child: it gets a SIGQUIT when these tests are killed, so that no server outlives them."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


def _sweep(base: Path | None) -> None:
    """Remove what tests that were killed left behind: folders are named after their process."""
    for folder in Path(base or tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served() -> Iterator[Server]:
    """A server for as long as it is needed; skips where there is none to start."""
    pytest.importorskip("psycopg", reason="the driver for PostgreSQL is not installed: pip install sojourn[postgresql]")
    binaries = programs()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    server = Server(binaries)
    yield server
    server.stop()

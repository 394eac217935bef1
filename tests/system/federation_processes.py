"""One hub and three nodes as processes of their own over TLS on the loopback, as their people would start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest

from sojourn.analysis.variable import Kind, Variable
from sojourn.client.login import save_login
from sojourn.client.studies import Federation, Project, connect
from sojourn.hub import program as hub_program
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.node.dictionary import Dictionary
from sojourn.node.sandbox import best_available
from sojourn.wire.address import Address
from sojourn.wire.administration import listens

SITES = ("Avon", "Brent", "Cam")
PROJECT = "wards"
CANARY_NUMBER = 13.141592653
CANARY_LEVEL = "Kqzvanary"
BIG_ROWS = 250_000
Found = TypeVar("Found")


def until(what: str, ready: Callable[[], Found], seconds: float = 30.0) -> Found:
    """The first true value of `ready`; AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.01)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    below: set[int] = set()
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return below
    for task in tasks:
        try:
            children = [int(word) for word in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            below |= {child} | descendants(child)
    return below


def workers(pid: int) -> set[int]:
    """The interpreters among a node's descendants: its workers, in stock or in use."""
    found = set()
    for below in descendants(pid):
        try:
            words = Path(f"/proc/{below}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"sojourn.node.worker" in words and b"python" in os.path.basename(words[0]):
            found.add(below)
    return found


def patients(seed: int, rows: int) -> pd.DataFrame:
    """A table with one value of each kind that nobody else has."""
    random = np.random.default_rng(seed)
    age = random.integers(30, 80, rows).astype(float)
    group = random.choice(["one", "two"], rows)
    sick = random.random(rows) < 1 / (1 + np.exp(-(age - 55) / 15))
    frame = pd.DataFrame({"age": age, "lab": random.normal(10, 2, rows), "group": group, "sick": sick})
    frame.loc[0, "lab"], frame.loc[0, "group"] = CANARY_NUMBER, CANARY_LEVEL
    return frame


def dictionary(table: str) -> Dictionary:
    """What custodians approve of `patients`. The rare level is published: it is in the dictionary, not from records."""
    columns = {
        "age": Variable(Kind.NUMBER, low=0, high=120),
        "lab": Variable(Kind.NUMBER, low=-100, high=100),
        "group": Variable(Kind.CATEGORY, levels=("one", "two", CANARY_LEVEL)),
        "sick": Variable(Kind.BOOLEAN),
    }
    return Dictionary(table, None, True, columns, ())


class Processes:
    """Folders `hub` and one a site in one home; every process is ended by its own id. big: Avon has a large table."""

    big = True
    host = "127.0.0.1"
    sites: tuple[str, ...] = SITES

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sandbox = "bubblewrap" if best_available() is not None else "none"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.key = PrivateKey.generate()
        self._researchers: list[Federation] = []

    def make(self) -> None:
        """Everything from nothing; the port is kept over restarts."""
        made = hub_program.create(self.home / "hub", "wards.test", self.host, free_port(), ["localhost"])
        self.url = f"https://{self.host}:{made.port}"
        self.start("hub")
        self.hub("add_project", name=PROJECT)
        self.hub("add_member", project=PROJECT, key=self.key.public.hex)
        for seed, site in enumerate(self.sites):
            self.join(site)
            self.add(site, "patients", patients(seed, 300))
        if self.big:
            self.add("Avon", "big", patients(9, BIG_ROWS))
        for site in self.sites:
            self.node(site, "approve", project=PROJECT, key=self.key.public.hex)
        self.ensure()

    def join(self, site: str) -> NodeHome:
        """A new node that has joined; not started. Avon computes in the sandbox, the others without."""
        home = node_program.create(self.home / site, site, self.sandbox if site == "Avon" else "none", least_sites=1)
        # One study is asked again and again here, and some of it is refused; `attempts` has tests of its own.
        return node_program.join(
            replace(home, most_refusals=0, repeats=False, usual_asks=0), self.hub("invite", site=site)
        )

    def add(self, site: str, table: str, frame: pd.DataFrame) -> dict[str, Any]:
        """`sojourn dataset add`, through the running node or beside it."""
        source = self.home / f"{site}-{table}.parquet"
        frame.to_parquet(source, index=False)
        words = self.home / f"{site}-{table}.yaml"
        dictionary(table).save(words)
        return dict(self.node(site, "add_dataset", source=str(source), dictionary=str(words)))

    def start(self, name: str) -> None:
        """`sojourn hub start` or `sojourn node start`; returns when the hub answers, and for a node at once."""
        words = ["hub" if name == "hub" else "node", "start", "--home", str(self.home / name)]
        self.running[name] = self.launch(name, words)
        if name == "hub":
            until("the hub", lambda: self.shown() or self.running["hub"].poll() is not None)
            assert self.shown(), (self.home / "hub.out").read_text()

    def launch(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        """The process of one command."""
        with (self.home / f"{name}.out").open("ab") as log:
            command = [sys.executable, "-m", "sojourn", *words]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ensure(self) -> None:
        """Start what does not run, and wait until every site is connected."""
        for name in ("hub", *self.sites):
            if name not in self.running or self.running[name].poll() is not None:
                self.start(name)
        until("all sites", lambda: self.running_still() and self.connected(), 60)

    def running_still(self) -> bool:
        """True; AssertionError with its last words where a program ended."""
        for name, process in self.running.items():
            assert process.poll() is None, (name, (self.home / f"{name}.out").read_text()[-2000:])
        return True

    def connected(self) -> bool:
        """Whether every node has told the hub its tables since it was started."""
        # Asking a home whose node does not listen yet would open it ourselves, and keep the node waiting.
        listening = all(listens(self.home / site / "admin.sock") for site in self.sites)
        return listening and all(self.node(site, "show")["connected"] for site in self.sites)

    def stop(self, name: str) -> float:
        """SIGTERM; how many seconds the end took."""
        began = time.monotonic()
        self.running[name].terminate()
        assert self.running[name].wait(30) == 0
        return time.monotonic() - began

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.running[name].kill()
        self.running[name].wait(10)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Any other signal."""
        self.running[name].send_signal(number)

    def part(self) -> None:
        """Close the researchers' connections."""
        while self._researchers:
            self._researchers.pop().close()

    def close(self) -> None:
        """End everything, nodes first."""
        self.part()
        for name in reversed(list(self.running)):
            process = self.running[name]
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # ---- what its people do

    def hub(self, name: str, /, **arguments: Any) -> Any:
        """A function of the hub's administrator."""
        return hub_program.ask(self.home / "hub", name, **arguments)

    def node(self, site: str, name: str, /, **arguments: Any) -> Any:
        """A function of a custodian."""
        return node_program.ask(self.home / site, name, **arguments)

    def shown(self) -> dict[str, Any] | None:
        """What the hub's administrator sees, if the hub runs."""
        try:
            return dict(self.hub("show"))
        except Exception:
            return None

    def address(self) -> Address:
        """What nodes and researchers pin."""
        return Address.decode(self.hub("show")["address"])

    def researcher(self, key: PrivateKey | None = None) -> Federation:
        """The analyst's library over TLS."""
        folder = self.home / f"researcher-{(key or self.key).public.id}"
        if not folder.exists():
            folder.mkdir(mode=0o700)
            (key or self.key).save(folder / "researcher.key")
        self._researchers.append(connect(login=save_login(self.address(), folder / "researcher.key", folder)))
        return self._researchers[-1]

    def project(self) -> Project:
        """The project as its researcher."""
        return self.researcher().project(PROJECT)


def free_port() -> int:
    """A port that nothing uses now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_shared: list[Processes] = []


@pytest.fixture(scope="session", name="shared")
def shared_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One federation for all modules that import this: they pay for its start once."""
    if not _shared:
        made = Processes(tmp_path_factory.mktemp("f"))
        try:
            made.make()
        except BaseException:
            made.close()
            raise
        _shared.append(made)
    yield _shared[0]
    while _shared:
        _shared.pop().close()


@pytest.fixture(name="wards")
def wards_fixture(shared: Processes) -> Iterator[Processes]:
    """The shared federation with everything running."""
    shared.ensure()
    yield shared
    shared.part()

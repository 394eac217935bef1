"""One hub and its nodes as processes of their own over TLS on the loopback, for benchmarks."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sojourn.analysis.variable import Kind, Variable
from sojourn.client.login import save_login
from sojourn.client.studies import Federation, Project, connect
from sojourn.hub import program as hub
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node
from sojourn.node.dictionary import Dictionary
from sojourn.node.sandbox import best_available
from sojourn.wire.address import Address

PROJECT = "bench"


def rows(site: int, count: int, covariates: int) -> pd.DataFrame:
    """Standard normal covariates, to three decimals, and a logistic outcome; one seed a site.

    Measured values are written with few digits, and a dataset's fingerprints take time for each distinct one.
    """
    draw = np.random.default_rng(site)
    x = draw.normal(size=(count, covariates)).round(3)
    beta = np.linspace(-0.5, 0.5, covariates)
    y = draw.random(count) < 1 / (1 + np.exp(-(x @ beta - 0.3)))
    return pd.DataFrame({**{f"x{place}": x[:, place] for place in range(covariates)}, "y": y})


@dataclass
class Processes:
    """A running federation: `hub` and one process a site."""

    home: Path
    declared: Mapping[str, Variable] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    federation: Federation | None = None

    def pid(self, name: str) -> int:
        """Of `hub` or a site."""
        return self.running[name].pid

    @property
    def project(self) -> Project:
        """The one project, as its researcher."""
        assert self.federation is not None
        return self.federation.project(PROJECT)

    def start(self, tables: dict[str, pd.DataFrame]) -> None:
        """Make everything, start everything, wait for every site."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        hub.create(self.home / "hub", "bench", "127.0.0.1", port, [])
        self._run("hub")
        until(lambda: self.shown())
        key = PrivateKey.generate()
        key.save(self.home / "researcher.key")
        hub.ask(self.home / "hub", "add_project", name=PROJECT)
        hub.ask(self.home / "hub", "add_member", project=PROJECT, key=key.public.hex)
        for site, table in tables.items():
            self._join(site, table, key)
        until(lambda: sum(len(site["datasets"]) for site in self.shown()["sites"]) == len(tables))
        address = Address.decode(self.shown()["address"])
        self.federation = connect(login=save_login(address, self.home / "researcher.key", self.home / "login"))

    def shown(self) -> dict[str, Any]:
        """What the hub's administrator sees."""
        return dict(hub.ask(self.home / "hub", "show"))

    def close(self) -> None:
        """End everything that was started."""
        if self.federation is not None:
            self.federation.close()
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            process.wait(30)

    def _join(self, site: str, table: pd.DataFrame, key: PrivateKey) -> None:
        home = self.home / site
        settings = replace(node.create(home, site, SANDBOX, least_sites=1), repeats=False)  # each ask is computed
        settings.save()
        node.join(settings, hub.ask(self.home / "hub", "invite", site=site))
        source, words = self.home / f"{site}.parquet", self.home / f"{site}.yaml"
        table.to_parquet(source, index=False)
        kinds = {name: Kind.BOOLEAN if table[name].dtype == bool else Kind.NUMBER for name in table}
        columns = {name: self.declared.get(name, Variable(kind)) for name, kind in kinds.items()}
        Dictionary("rows", None, True, columns).save(words)
        node.ask(home, "add_dataset", source=str(source), dictionary=str(words))
        node.ask(home, "approve", project=PROJECT, key=key.public.hex)
        self._run(site)

    def _run(self, name: str) -> None:
        words = ["hub" if name == "hub" else "node", "start", "--home", str(self.home / name)]
        command = [sys.executable, "-m", "sojourn", *words]
        self.running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


SANDBOX = "none" if best_available() is None else "bubblewrap"


@contextmanager
def processes(tables: dict[str, pd.DataFrame], declared: Mapping[str, Variable] | None = None) -> Iterator[Processes]:
    """A federation with these tables by site; ended whatever happens. declared: of columns that have a range, say."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as scratch:
        made = Processes(Path(scratch), declared or {})
        try:
            made.start(tables)
            yield made
        finally:
            made.close()


def until(ready: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait for a true value; TimeoutError when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):  # not up yet
            if ready():
                return
        time.sleep(0.05)
    raise TimeoutError("the federation did not start")


def below(pid: int) -> set[int]:
    """All processes below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text(encoding="ascii").split()):
                found |= {child} | below(child)
    return found

"""The demonstration's federation: one hub and four hospitals' nodes, each a process of its own, on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Any

from sojourn.client.login import Login, save_login
from sojourn.errors import ConfigurationError, SandboxUnavailable
from sojourn.hub import program as hub
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.node import program as node
from sojourn.node.sandbox import choose
from sojourn.wire.address import Address

HOSPITALS = {
    "Cleveland": "cleveland.csv",
    "Budapest": "budapest.csv",
    "Zurich-Basel": "zurich_basel.csv",
    "Long-Beach": "long_beach.csv",
}
PROJECT = "heart"
START = 60.0  # seconds for all processes to be ready


class DemoFederation:
    """Folders `hub`, `Cleveland`, … and `researcher` in one home; processes that end with it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sandbox = _sandbox()
        self._processes: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []

    def start(self) -> None:
        """Make everything from nothing as its people would, and start the five processes."""
        hub.create(self.home / "hub", "heart.demo", "127.0.0.1", _free_port(), ["localhost"])
        self._run("hub", ["hub", "start", "--home", str(self.home / "hub")])
        self._until("the hub", lambda: self._shown() is not None)
        hub.ask(self.home / "hub", "add_project", name=PROJECT)
        key = PrivateKey.generate()
        (self.home / "researcher").mkdir(mode=0o700)
        key.save(self.home / "researcher" / "researcher.key")
        hub.ask(self.home / "hub", "add_member", project=PROJECT, key=key.public.hex)
        for site, file in HOSPITALS.items():
            self._hospital(site, file, key.public)
        self._pin()
        for site in HOSPITALS:
            self._run(site, ["node", "start", "--home", str(self.home / site)])
        self._until("the four nodes", lambda: len(self._publishing()) == len(HOSPITALS))

    def _hospital(self, site: str, file: str, researcher: PublicKey) -> None:
        folder = self.home / site
        made = node.create(folder, site, self.sandbox)
        node.join(made, hub.ask(self.home / "hub", "invite", site=site))
        source = str(resources.files("sojourn") / "data" / "heart" / file)
        dictionary = str(resources.files("sojourn") / "data" / "heart" / "heart.dictionary.yaml")
        node.ask(folder, "add_dataset", source=source, dictionary=dictionary)
        node.ask(folder, "approve", project=PROJECT, key=researcher.hex)

    def _pin(self) -> None:
        """The custodians compare keys, which in this demonstration are all in one folder."""
        keys = {site: PrivateKey.load(self.home / site / "node.key").public.hex for site in HOSPITALS}
        for site in HOSPITALS:
            for other in sorted(set(HOSPITALS) - {site}):
                node.ask(self.home / site, "pin", site=other, key=keys[other])

    def login(self) -> Login:
        """The researcher's login, in the home's `researcher` folder."""
        shown = self._shown()
        assert shown is not None
        folder = self.home / "researcher"
        return save_login(Address.decode(shown["address"]), folder / "researcher.key", folder)

    def diagram(self) -> str:
        """The live federation as Mermaid text."""
        shown = self._shown()
        assert shown is not None
        return str(shown["diagram"])

    def released(self, site: str, study: str) -> list[dict[str, Any]]:
        """What left one hospital for a study, as its custodian sees it."""
        return list(node.ask(self.home / site, "released", study=study))

    def columns(self, site: str) -> tuple[str, ...]:
        """The columns whose records stay at a hospital."""
        return tuple(node.ask(self.home / site, "datasets")[0]["columns"])

    def verify(self) -> dict[str, bool]:
        """Whether each party's whole log verifies."""
        logs = {"hub": hub.ask(self.home / "hub", "verify")["ok"]}
        return logs | {site: bool(node.ask(self.home / site, "verify")["ok"]) for site in HOSPITALS}

    def stop(self) -> None:
        """End every process that was started, nodes first; kill what does not end in time."""
        for _, process, _ in reversed(self._processes):
            process.terminate()
        for _, process, log in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
        self._processes.clear()

    def running(self) -> dict[str, int]:
        """The processes in hand, by name."""
        return {name: process.pid for name, process, _ in self._processes}

    # ---- processes

    def _run(self, name: str, words: list[str]) -> None:
        log = (self.home / f"{name}.out").open("wb")
        command = [sys.executable, "-m", "sojourn", *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self._processes.append((name, process, log))

    def _shown(self) -> dict[str, Any] | None:
        try:
            return dict(hub.ask(self.home / "hub", "show"))
        except Exception:  # not listening yet
            return None

    def _publishing(self) -> list[str]:
        shown = self._shown() or {"sites": []}
        return [site["site"] for site in shown["sites"] if site["datasets"] and site["online"]]

    def _until(self, what: str, ready: Any) -> None:
        until = time.monotonic() + START
        while not ready():
            for name, process, _ in self._processes:
                if process.poll() is not None:
                    raise ConfigurationError(f"{name} ended early.", remedy=f"Read {self.home / name}.out.")
            if time.monotonic() > until:
                raise ConfigurationError(f"Not ready in time: {what}.", remedy=f"Read the .out files in {self.home}.")
            time.sleep(0.05)


@contextmanager
def federation(home: Path) -> Iterator[DemoFederation]:
    """A started demonstration that is ended whatever happens."""
    made = DemoFederation(home)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _sandbox() -> str:
    """The sealed environment; the demo's data are public, so it goes on without one where none can be had."""
    try:
        choose("bubblewrap")
    except SandboxUnavailable:
        return "none"
    return "bubblewrap"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

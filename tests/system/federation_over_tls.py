"""A hub and nodes in this process, with homes as their people have them, over TLS on the loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from federation_processes import free_port, until

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.client.login import save_login
from sojourn.client.results import Results
from sojourn.client.studies import connect
from sojourn.hub.config import HubHome
from sojourn.hub.program import HubProgram
from sojourn.hub.program import create as create_hub
from sojourn.identity.keys import PrivateKey
from sojourn.node.dictionary import Dictionary
from sojourn.node.program import NodeProgram, ask, join
from sojourn.node.program import create as create_node

SITES = ("Avon",)
PROJECT = "wards"
COLUMNS = {"age": Variable(Kind.NUMBER, low=0, high=120), "sick": Variable(Kind.BOOLEAN)}


class LocalFederation:
    """Programs by name (`hub` and sites), each with its home in a folder of that name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, HubProgram | NodeProgram] = {}
        self.key = PrivateKey.generate()

    def home(self, name: str) -> Path:
        return self.folder / name

    def make(self) -> None:
        create_hub(self.home("hub"), "wards.test", "127.0.0.1", free_port(), ["localhost"])
        self.start("hub")
        self.hub.add_project(PROJECT)
        self.hub.add_member(PROJECT, self.key.public.hex)
        self.key.save(self.folder / "ada.key")
        address = self.running["hub"].address()  # type: ignore[union-attr]
        self.login = save_login(address, self.folder / "ada.key", self.folder / "login")
        for site in SITES:
            home = create_node(self.home(site), site, "none", least_sites=1)
            join(home, self.running["hub"].address(self.hub.invite(site)).encode())  # type: ignore[union-attr]
            self.add(site)
            ask(self.home(site), "approve", project=PROJECT, key=self.key.public.hex)
            self.start(site)

    def add(self, site: str, home: Path | None = None) -> None:
        """Import the site's one table, by a column that names the person; into its home, or another one of it."""
        random = np.random.default_rng(SITES.index(site))
        frame = pd.DataFrame({"age": random.integers(20, 90, 200).astype(float), "sick": random.random(200) < 0.4})
        frame["who"] = [f"{site}-{number}" for number in range(200)]
        source = self.folder / f"{site}.parquet"
        if not source.exists():
            frame.to_parquet(source, index=False)
        words = self.folder / f"{site}.yaml"
        Dictionary("patients", "who", False, COLUMNS, ()).save(words)
        ask(home or self.home(site), "add_dataset", source=str(source), dictionary=str(words))

    @property
    def hub(self):
        return self.running["hub"].hub  # type: ignore[union-attr]

    def node(self, site: str):
        return self.running[site].node  # type: ignore[union-attr]

    def start(self, name: str) -> None:
        home = self.home(name)
        program = HubProgram(HubHome.load(home)) if name == "hub" else NodeProgram(home)
        program.start()
        self.running[name] = program

    def stop(self, name: str) -> None:
        self.running.pop(name).stop()

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)

    def connected(self) -> None:
        """Wait until every running node has told the hub its tables."""
        for site in set(self.running) - {"hub"}:
            assert self.node(site).connected(60)
        until("all online", lambda: all(view.online and view.datasets for view in self.hub.site_views()))

    def study(self) -> Results:
        """One study over all sites, to its end."""
        self.connected()
        ages = sj.describe("age", by="sick")
        plan = sj.Plan(title="Ages", purpose="NRES", table="patients", analyses={"ages": ages}, min_sites=len(SITES))
        with connect(login=self.login) as federation:
            return federation.project(PROJECT).submit(plan).wait(60)

    def lose(self, name: str) -> None:
        """Its machine burns."""
        if name in self.running:
            self.stop(name)
        shutil.rmtree(self.home(name))

    def close(self) -> None:
        for name in sorted(self.running):
            if name != "hub":
                self.running[name].node.leave()  # type: ignore[union-attr]
        if "hub" in self.running:
            self.hub.bell.close()
        for name in sorted(self.running, key=lambda name: name == "hub"):
            self.stop(name)


@contextmanager
def federation(folder: Path) -> Iterator[LocalFederation]:
    made = LocalFederation(folder)
    try:
        made.make()
        yield made
    finally:
        made.close()

"""Hub and nodes on PostgreSQL: a study with the exact result, through restarts of the server and of the hub."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from federation_processes import PROJECT, SITES, Processes, free_port, patients
from sqlalchemy import make_url

import sojourn as sj
from sojourn.hub import program as hub_program
from sojourn.node import program as node_program
from sojourn.testbed import Federation

PLAN = sj.Plan(
    table="patients",
    purpose="HMB",
    analyses={"sick": sj.count(by="sick"), "model": sj.glm("lab ~ age", family="gaussian")},
)
FRAMES = {site: patients(seed, 300) for seed, site in enumerate(SITES)}
POOLED = pd.concat(FRAMES.values())


def exact(results: sj.Results) -> None:
    counted = results["sick"].table["n"]
    assert counted.to_dict() == POOLED.groupby("sick").size().to_dict()
    assert results["model"].table["estimate"]["age"] == pytest.approx(
        POOLED["lab"].cov(POOLED["age"]) / POOLED["age"].var(), rel=1e-9
    )
    assert results.trusted


def test_a_study_on_postgresql_is_exact_and_goes_on_after_the_servers_restart(postgresql) -> None:
    made = {party: postgresql.database() for party in ("hub", *SITES)}
    with Federation({site: {"patients": frame} for site, frame in FRAMES.items()}, databases=made.__getitem__) as one:
        assert list(one.folder.rglob("*.db")) == []
        exact(one.run(PLAN))
        for how in (signal.SIGINT, signal.SIGQUIT):
            postgresql.halt(how)
            postgresql.start()
            exact(one.run(PLAN))
        for store in (one.hub.store, *(node.store for node in one.nodes.values())):
            assert store.verify().ok


class OnPostgresql(Processes):
    """The same processes, the hub and the first node on databases of a server."""

    def __init__(self, home: Path, databases: dict[str, str]) -> None:
        super().__init__(home)
        self.databases = databases

    def make(self) -> None:
        folder, database = self.home / "hub", self.databases["hub"]
        hub_program.create(folder, "wards.test", "127.0.0.1", free_port(), ["localhost"], database)
        self.start("hub")
        self.hub("add_project", name=PROJECT)
        self.hub("add_member", project=PROJECT, key=self.key.public.hex)
        for site, frame in FRAMES.items():
            self.join(site)
            self.add(site, "patients", frame)
            self.node(site, "approve", project=PROJECT, key=self.key.public.hex)
        self.ensure()

    def join(self, site: str) -> node_program.NodeHome:
        home = node_program.create(self.home / site, site, "none", 1, self.databases.get(site, ""))
        return node_program.join(home, self.hub("invite", site=site))


@pytest.fixture
def processes(postgresql, tmp_path_factory) -> Iterator[OnPostgresql]:
    made = OnPostgresql(tmp_path_factory.mktemp("f"), {"hub": postgresql.database(), SITES[0]: postgresql.database()})
    try:
        made.make()
        yield made
    finally:
        made.close()


def test_processes_on_postgresql_survive_kills_and_restarts(processes, postgresql) -> None:
    first = processes.project().submit(PLAN).wait(60)
    exact(first)
    processes.kill("hub")
    processes.kill(SITES[0])
    postgresql.restart()
    processes.ensure()
    exact(processes.project().submit(PLAN).wait(60))
    assert processes.hub("verify")["ok"]
    assert all(processes.node(site, "verify")["ok"] for site in SITES)
    assert (processes.home / SITES[1] / "node.db").exists()
    assert not (processes.home / SITES[0] / "node.db").exists()
    assert not (processes.home / "hub" / "hub.db").exists()


def test_init_and_migrate_take_databases_and_say_what_is_wrong_before_anything_is_made(postgresql, tmp_path) -> None:
    from typer.testing import CliRunner

    from sojourn.cli import app

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words])
        return done.output + str(done.exception or "")

    owner = postgresql.database()
    postgresql.run("CREATE ROLE program LOGIN")
    url = postgresql.url(make_url(owner).database, role="program")
    hub, node = str(tmp_path / "hub"), str(tmp_path / "node")
    for words in (["hub", "init", "--name", "a.test", "--home", hub], ["node", "init", "--site", "A", "--home", node]):
        assert "cannot be reached" in run(*words, "--database", "postgresql://sojourn@127.0.0.1:1/x")
        assert not Path(words[-1]).exists()
    assert "A hub for a.test is ready" in run("hub", "init", "--name", "a.test", "--home", hub, "--database", url)
    with pytest.raises(Exception, match="sojourn hub migrate"):
        hub_program.open_hub(hub_program.HubHome.load(Path(hub)))
    assert "The database is at revision" in run("hub", "migrate", "--home", hub, "--database", owner)
    made = hub_program.open_hub(hub_program.HubHome.load(Path(hub)))
    made.add_project("heart")
    made.close()
    assert "SQLite file" in run("node", "init", "--site", "A", "--home", node) + run(
        "node", "migrate", "--home", node, "--database", owner
    )

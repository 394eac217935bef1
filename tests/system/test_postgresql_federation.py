"""Hub and nodes on PostgreSQL: a study with the exact result, through restarts of the server and of the hub."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from federation_processes import PROJECT, SITES, Processes, free_port, patients
from typer.testing import CliRunner

import sojourn as sj
from postgresql_server import PASSWORD
from sojourn.cli import app
from sojourn.errors import ConfigurationError
from sojourn.hub import program as hub_program
from sojourn.hub.config import HubHome
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


@pytest.mark.long
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


@pytest.mark.long
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


MANUAL = Path(__file__).parents[2] / "docs" / "how-to" / "use-postgresql.md"


def run(*words: str) -> str:
    """What a command says, and its error."""
    done = CliRunner().invoke(app, [*words])
    return done.output + str(done.exception or "")


@pytest.mark.parametrize("words", [("hub", "init", "--name", "a.test"), ("node", "init", "--site", "A")])
def test_a_database_that_cannot_be_used_is_told_before_anything_is_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    said = run(*words, "--home", str(home), "--database", "postgresql://sojourn@127.0.0.1:1/x")
    assert "cannot be reached" in said
    assert not home.exists()


def test_the_manuals_two_roles_start_a_hub(postgresql, tmp_path: Path) -> None:
    [script] = re.findall(r"^```sql\n(.*?)^```$", MANUAL.read_text(encoding="utf-8"), re.M | re.S)
    for statement in script.split(";\n")[:-1]:
        postgresql.run(statement)
    secret = tmp_path / "database.password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    for role in ("sojourn_hub", "sojourn_owner"):
        postgresql.run(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
    home = str(tmp_path / "hub")
    program, owner = (postgresql.url_by_network("sojourn_hub", role) for role in ("sojourn_hub", "sojourn_owner"))
    with_secret = ["--database-password-file", str(secret)]
    assert "is ready" in run("hub", "init", "--name", "a.test", "--home", home, "--database", program, *with_secret)
    with pytest.raises(ConfigurationError, match="sojourn hub migrate"):
        hub_program.open_hub(HubHome.load(Path(home)))
    assert "is at revision" in run("hub", "migrate", "--home", home, "--database", owner, *with_secret)
    hub = hub_program.open_hub(HubHome.load(Path(home)))
    hub.add_project("heart")
    assert hub.store.verify().ok
    hub.close()
    assert PASSWORD not in (Path(home) / "hub.yaml").read_text()


def test_a_home_on_sqlite_has_no_owner(tmp_path: Path) -> None:
    home = str(tmp_path / "node")
    assert "is ready" in run("node", "init", "--site", "A", "--home", home)
    assert "SQLite file" in run("node", "migrate", "--home", home, "--database", "postgresql://owner@127.0.0.1:1/x")

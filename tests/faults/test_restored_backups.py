"""C19, C20: a hub and a node that come back from an old backup; the others' memory of their logs is not restored."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from federation_processes import PROJECT, SITES, Processes, shared_fixture, wards_fixture  # noqa: F401  (pytest finds them here)
from patience import eventually

import sojourn as sj
from sojourn.client.studies import Run

REASON = "restored from an old backup, by a test"


def count(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


def sojourn(*words: str) -> str:
    """A command to its end."""
    command = [sys.executable, "-m", "sojourn", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def back_to(wards: Processes, name: str, backup: Path) -> None:
    """Lose a home, and restore it from a backup."""
    party = "hub" if name == "hub" else "node"
    wards.kill(name)
    shutil.rmtree(wards.home / name)
    sojourn(party, "restore", str(backup), "--home", str(wards.home / name))
    wards.start(name)


def rows(wards: Processes, party: str, query: str, *words: str) -> list[Any]:
    file = wards.home / party / ("hub.db" if party == "hub" else "node.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query, words).fetchall()


def log(wards: Processes, party: str) -> list[dict[str, Any]]:
    return [json.loads(data) for (data,) in rows(wards, party, "SELECT data FROM log_entry ORDER BY position")]


def alarms(wards: Processes, party: str) -> list[str]:
    """Why this party's own log says that it refused another's."""
    return [entry["facts"]["reason"] for entry in log(wards, party) if entry["kind"] == "witness.refused"]


def witnessed(wards: Processes, site: str) -> int:
    """How much of a node's log the hub remembers."""
    return int(wards.node(site, "show")["log"]["witnessed_by"][0]["size"])


def charges(wards: Processes, site: str, run: Run) -> int:
    return len(rows(wards, site, "SELECT 1 FROM ledger WHERE study = ?", run.study))


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_a_hub_from_an_old_backup_is_noticed_by_every_node(wards: Processes, tmp_path: Path) -> None:
    """C19. Nothing is released to it until each custodian accepts; what was used stays used."""
    backup = tmp_path / "hub.tar"
    request = wards.project().request(count())
    sojourn("hub", "backup", str(backup), "--plain", "--home", str(wards.home / "hub"))
    run = wards.project().send(request)
    results = run.wait(60)
    charged = {site: charges(wards, site, run) for site in SITES}
    wards.part()
    back_to(wards, "hub", backup)
    for site in SITES:
        eventually("the alarm", lambda site=site: alarms(wards, site) == ["rollback"], 60)
    waiting = wards.project().submit(count(stragglers="wait"), sites=list(SITES))
    for site in SITES:
        assert not wards.node(site, "released", study=waiting.study)
        sojourn("node", "accept-log", "--reason", REASON, "--home", str(wards.home / site))
    assert set(waiting.wait(90)["count"].sites.values()) == {"contributed"}
    again = wards.project().send(request).wait(60)  # the hub has forgotten it; the nodes have not, and say the same
    assert again["count"].table.equals(results["count"].table)
    assert again["count"].sites == results["count"].sites == dict.fromkeys(SITES, "contributed")
    assert {site: charges(wards, site, run) for site in SITES} == charged
    for site in SITES:
        kinds = [entry["kind"] for entry in log(wards, site) if entry["study"] == run.study]
        assert kinds.count("release.sealed") == 1 and wards.node(site, "verify")["ok"]


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_a_node_from_an_old_backup_is_noticed_and_recalls_what_it_said(wards: Processes, tmp_path: Path) -> None:
    """C20. The hub's log is the high-water mark: the node takes nothing until it recalled what it had released."""
    backup = tmp_path / "Cam.tar"
    sojourn("node", "backup", str(backup), "--plain", "--home", str(wards.home / "Cam"))
    project = wards.project()
    run = project.submit(count())
    assert run.wait(60)["count"].sites["Cam"] == "contributed"
    charged, size = charges(wards, "Cam", run), len(log(wards, "Cam"))
    eventually("the hub's memory", lambda: witnessed(wards, "Cam") >= size, 60)
    before = len(alarms(wards, "hub"))
    back_to(wards, "Cam", backup)
    eventually("the alarm", lambda: alarms(wards, "hub")[before:] == ["rollback"], 60)
    assert charges(wards, "Cam", run) == 0
    waiting = project.submit(count(stragglers="wait"), sites=list(SITES))
    eventually("the others", lambda: [event["state"] for event in waiting.view().events].count("contributed") == 2, 60)
    assert not wards.node("Cam", "released", study=waiting.study)
    told = json.loads(sojourn("node", "recover", "--home", str(wards.home / "Cam"), "--json"))
    assert told["studies"] >= 1 and told["sets"] >= charged >= 1
    assert charges(wards, "Cam", run) == charged
    assert rows(wards, "Cam", "SELECT ended FROM run WHERE study = ?", run.study) == [("restored",)]
    sojourn("hub", "accept-log", "Cam", "--reason", REASON, "--home", str(wards.home / "hub"))
    assert set(waiting.wait(90)["count"].sites.values()) == {"contributed"}
    for party in ("hub", "Cam"):
        assert (wards.hub("verify") if party == "hub" else wards.node(party, "verify"))["ok"]

"""C15, C16: disks that are full, each a small file system of its own that only the programs under test see."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from federation_processes import SITES, Processes, patients, shared_fixture, wards_fixture  # noqa: F401  (pytest finds them here)
from namespaces import MOUNTS, fresh, inside, run
from patience import eventually

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.errors import SojournError
from sojourn.wire.transport import ServerRefused

pytestmark = pytest.mark.timeout(300)  # the first of all waits for a federation's start
SMALL = {"jobs": 4, "datasets": 4}  # MiB of further disks inside a node's home


def count(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


class Disk:
    """A mounted folder that can be filled to its last block, and freed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no block."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        assert shutil.disk_usage(self.folder).free == 0

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)


def mount(folder: Path, megabytes: int) -> Disk:
    """Put a small disk in a folder's place, with what the folder held."""
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock"))
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "sojourn-test", str(folder))
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    folder.chmod(0o700)
    return Disk(folder)


@pytest.fixture
def disks(wards: Processes, request: pytest.FixtureRequest) -> Iterator[dict[str, Disk]]:
    """The home of one party on a small disk; afterwards on the machine's own again, with what has happened."""
    name: str = request.param
    home, after = wards.home / name, wards.home / f"{name}.after"
    namespace = fresh(MOUNTS)
    wards.stop(name)
    with inside(namespace, MOUNTS):
        run("mount", "--make-rprivate", "/")
        found = {"home": mount(home, 24)}
        for word, size in SMALL.items() if name != "hub" else ():
            (home / word).mkdir(exist_ok=True)
            found[word] = mount(home / word, size)
        try:
            wards.ensure()
            yield found
        finally:
            for disk in found.values():
                disk.free()
            wards.running[name].send_signal(signal.SIGTERM)
            wards.running[name].wait(30)
            shutil.copytree(home, after, ignore=shutil.ignore_patterns("*.sock"))
    os.close(namespace)
    shutil.rmtree(home)
    after.rename(home)


def rows(wards: Processes, party: str, query: str, *words: str) -> list[Any]:
    file = wards.home / party / ("hub.db" if party == "hub" else "node.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query, words).fetchall()


def kinds(wards: Processes, party: str, run: Run) -> list[str]:
    query = "SELECT data FROM log_entry WHERE study = ? ORDER BY position"
    return [json.loads(data)["kind"] for (data,) in rows(wards, party, query, run.study)]


def every_release_is_logged(wards: Processes, site: str) -> None:
    (sealed,) = rows(wards, site, "SELECT count(*) FROM release WHERE sealed IS NOT NULL")
    logged = rows(wards, site, "SELECT data FROM log_entry")
    assert sealed[0] == sum(json.loads(data)["kind"] == "release.sealed" for (data,) in logged)
    assert wards.node(site, "verify")["ok"]


@pytest.mark.long
@pytest.mark.parametrize("disks", ["Cam"], indirect=True)
def test_a_node_without_space_releases_nothing_and_goes_on_when_there_is_space(
    wards: Processes, disks: dict[str, Disk]
) -> None:
    """C15: its store and log, then the place where it computes, then its data."""
    project = wards.project()
    disks["home"].fill()
    run = project.submit(count(stragglers="wait"))
    eventually("the custodian's being told", lambda: "disk" in wards.node("Cam", "show")["trouble"], 60)
    assert run.view().state == "running"
    assert "release.sealed" not in kinds(wards, "Cam", run)
    assert not wards.node("Cam", "released", study=run.study)
    words = ["node", "revoke", "wards", "--key", str(public(wards)), "--home", str(wards.home / "Cam")]
    refused = sojourn(*words)
    assert refused.returncode == 1 and "nothing has happened" in refused.stderr and "disk" in refused.stderr
    disks["home"].free()
    assert set(run.wait(60)["count"].sites.values()) == {"contributed"}
    eventually("no trouble", lambda: not wards.node("Cam", "show")["trouble"], 40)
    assert kinds(wards, "Cam", run).count("release.sealed") == 1

    tables = wards.home / "Cam" / "jobs"
    eventually("the end of the run before", lambda: not list(tables.glob("*/data/population.npz")))
    disks["jobs"].fill()
    run = project.submit(count())
    assert run.wait(60)["count"].sites == {
        "Avon": "contributed",
        "Brent": "contributed",
        "Cam": "not released: no space",
    }
    disks["jobs"].free()
    assert set(project.submit(count()).wait(60)["count"].sites.values()) == {"contributed"}

    before = wards.node("Cam", "datasets")
    disks["datasets"].fill()
    with pytest.raises(SojournError, match="Remedy"):
        wards.add("Cam", "patients", patients(77, 300))
    assert wards.node("Cam", "datasets") == before
    assert set(project.submit(count()).wait(60)["count"].sites.values()) == {"contributed"}
    disks["datasets"].free()
    assert wards.add("Cam", "more", patients(78, 50))["rows"] == 50
    every_release_is_logged(wards, "Cam")


def sojourn(*words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    command = [sys.executable, "-m", "sojourn", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def public(wards: Processes) -> Path:
    """The researcher's public key as a file."""
    path = wards.home / "ada.key"
    if not path.exists():
        wards.key.save(path)
    return path.with_name("ada.key.pub")


TABLES = ("study", "task", "ask", "event", "result", "seal_key", "log_entry", "log_checkpoint")


@pytest.mark.long
@pytest.mark.parametrize("disks", ["hub"], indirect=True)
def test_a_hub_without_space_answers_503_and_goes_on_by_itself(wards: Processes, disks: dict[str, Disk]) -> None:
    """C16. What it did not take is kept at the nodes and handed over again."""
    project = wards.project()
    wards.signal("Cam", signal.SIGSTOP)
    try:
        run = project.submit(count(stragglers="wait"))
        eventually("two answers", lambda: [event["state"] for event in run.view().events].count("contributed") == 2)
        disks["home"].fill()
        eventually("a refusal", lambda: refused(project))
        before = contents(wards)
    finally:
        wards.signal("Cam", signal.SIGCONT)
    eventually("Cam's being told", lambda: "nothing has happened" in wards.node("Cam", "show")["trouble"], 60)
    eventually("Cam's sealed answer", lambda: wards.node("Cam", "released", study=run.study))
    assert [row["acknowledged"] for row in wards.node("Cam", "released", study=run.study)] == [False]
    with httpx.Client(base_url=wards.url, verify=False) as client:
        assert client.get("/v1/health").json()["status"] == "ok"
    assert run.view().state == "running"
    error = refused(project)
    assert error is not None and error.status == 503 and "disk" in error.remedy
    assert contents(wards) == before
    disks["home"].free()
    assert set(run.wait(60)["count"].sites.values()) == {"contributed"}
    assert kinds(wards, "hub", run).count("round.answered") == 3
    assert kinds(wards, "Cam", run).count("release.sealed") == 1
    assert wards.hub("verify")["ok"]
    wards.stop("hub")
    disks["home"].fill()
    ended = sojourn("hub", "start", "--home", str(wards.home / "hub"))
    assert ended.returncode == 1 and "Remedy:" in ended.stderr and "disk" in ended.stderr
    assert "Traceback" not in ended.stderr and "backup" not in ended.stderr
    disks["home"].free()
    wards.ensure()
    assert refused(project) is None


def refused(project: Any) -> ServerRefused | None:
    """How the hub refuses to prepare a study; None where it does not."""
    try:
        project.prepare()
    except ServerRefused as error:
        return error
    return None


def contents(wards: Processes) -> list[int]:
    return [rows(wards, "hub", f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]

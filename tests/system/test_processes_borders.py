"""What others can see and reach of the real processes: ports, files, sockets, workers, logs, the hub's bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from federation_processes import (  # noqa: F401  (pytest finds them here)
    CANARY_LEVEL,
    CANARY_NUMBER,
    PROJECT,
    SITES,
    Processes,
    patients,
    shared_fixture,
    until,
    wards_fixture,
    workers,
)

import sojourn as sj
from sojourn.errors import ConfigurationError, TransportError
from sojourn.hub import program as hub_program
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node_program
from sojourn.storage.lock import HomeLock
from sojourn.wire.authorities import create_authority
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import AccessRefused, call, https_client, unix_client


def sojourn(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    command = [sys.executable, "-m", "sojourn", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, **settings)


def listening(pid: int) -> list[str]:
    """The TCP sockets on which a process listens, by its own descriptors."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and (words[3] == "0A" or table.startswith("udp")):
                rows.append(line)
    return rows


def test_nothing_listens_at_a_node_but_its_owner_s_socket(wards: Processes) -> None:
    assert len(listening(wards.running["hub"].pid)) == 1
    for site in SITES:
        assert listening(wards.running[site].pid) == []
        for worker in workers(wards.running[site].pid):
            assert listening(worker) == []
        socket = wards.home / site / "admin.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        with unix_client(socket, 10) as client, pytest.raises(TransportError, match="does not know this command"):
            call(client, "POST", "/close", {})


def test_homes_are_closed_to_everyone_else(wards: Processes) -> None:
    for name in ("hub", *SITES):
        home = wards.home / name
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for path in home.rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert path.is_symlink() or not mode & 0o022, path
            if path.suffix in (".key", ".db") or path.name in ("admin.sock", "journal.log"):
                assert mode & 0o077 == 0, path


def test_a_node_refuses_to_start_when_others_can_read(wards: Processes) -> None:
    wards.stop("Cam")
    for file in ("node.key", "log.key", "node.db", ""):
        path = wards.home / "Cam" / file
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | 0o044)
        try:
            refused = sojourn("node", "start", "--home", str(wards.home / "Cam"))
        finally:
            path.chmod(mode)
        assert refused.returncode == 1
        assert "Remedy: Run `chmod" in refused.stderr and "Traceback" not in refused.stderr


def test_a_worker_is_sealed(wards: Processes) -> None:
    if wards.sandbox != "bubblewrap":
        pytest.skip("bubblewrap does not start here")
    found = until("a worker in stock", lambda: workers(wards.running["Avon"].pid))
    for pid in found:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        assert "0" not in status["Uid"].split()
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        for namespace in ("net", "pid", "mnt", "user", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}")


HIDDEN = 'mount --bind /dev/null "$(command -v bwrap)" && exec "$@"'


def test_a_node_without_its_sandbox_does_not_start(wards: Processes, tmp_path: Path) -> None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        pytest.skip("there is no bubblewrap that could be hidden")
    unshare = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--"]
    hidden = [*unshare, "sh", "-c", HIDDEN, "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be had here")
    wards.stop("Brent")
    home = node_program.NodeHome.load(wards.home / "Brent")
    for sandbox in ("bubblewrap", "none"):
        node_program.NodeHome(home.folder, home.site, home.hub, home.federation, sandbox, 1).save()
        command = [*hidden, sys.executable, "-m", "sojourn", "node", "start", "--home", str(home.folder)]
        if sandbox == "bubblewrap":
            refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert refused.returncode == 1
            assert "bwrap is missing" in refused.stderr and "apt install bubblewrap" in refused.stderr
        else:
            wards.running["Brent"] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until("all sites", wards.connected, 60)
            assert wards.node("Brent", "show")["sandbox"] == "none"
            wards.stop("Brent")


def test_the_diagram_shows_the_sites_and_three_kinds_of_arrows(wards: Processes) -> None:
    shown = sojourn("hub", "show", "--diagram", "--home", str(wards.home / "hub"))
    assert shown.returncode == 0
    for site in SITES:
        assert f"[{site} — connected]" in shown.stdout
    for arrow in ("-. analysis .->", "== releases ==>", "-- results -->", "-- signed plan -->"):
        assert arrow in shown.stdout
    assert shown.stdout.count("stays here") == len(SITES)


def test_a_flipped_byte_in_a_copy_of_a_log_is_found(wards: Processes, tmp_path: Path) -> None:
    good = sojourn("audit", "verify", "--home", str(wards.home / "Cam"), "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["ok"]
    wards.stop("Cam")
    copy = tmp_path / "Cam"
    shutil.copytree(wards.home / "Cam", copy, ignore=shutil.ignore_patterns("admin.sock"))
    copy.chmod(0o700)
    assert sojourn("audit", "verify", "--home", str(copy)).returncode == 0
    raw = (copy / "node.db").read_bytes()
    at = raw.index(b"dataset.added") + 3
    (copy / "node.db").write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    found = sojourn("audit", "verify", "--home", str(copy))
    assert found.returncode == 1
    assert "does not verify" in found.stderr and "Remedy:" in found.stderr and "Traceback" not in found.stderr


def test_two_administrators_at_once_both_succeed(wards: Processes) -> None:
    done: list[Any] = []
    names = [f"p{place}" for place in range(6)]
    threads = [threading.Thread(target=lambda name=name: done.append(wards.hub("invite", site=name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(done)) == len(names)
    with pytest.raises(TransportError, match="already"):
        wards.hub("add_project", name=PROJECT)


def test_a_dataset_is_added_beside_a_node_and_through_one(wards: Processes) -> None:
    assert wards.add("Brent", "second", patients(21, 60))["rows"] == 60
    wards.stop("Brent")
    assert wards.add("Brent", "third", patients(22, 70))["rows"] == 70
    wards.ensure()
    assert {"patients", "second", "third"} <= {row["table"] for row in wards.node("Brent", "datasets")}

    def published() -> bool:
        sites = {site["site"]: site for site in wards.hub("show")["sites"]}
        return {"second", "third"} <= {data["table"] for data in sites["Brent"]["datasets"]}

    until("the publication", published)


def test_one_program_a_home(wards: Processes) -> None:
    for name, words in (("Brent", "node"), ("hub", "hub")):
        second = sojourn(words, "start", "--home", str(wards.home / name))
        assert second.returncode == 1
        assert "Another program has this home open" in second.stderr
        with pytest.raises(ConfigurationError):
            HomeLock(wards.home / name)
        assert wards.running[name].poll() is None


def test_a_killed_node_can_still_be_asked(wards: Processes) -> None:
    wards.kill("Cam")
    assert (wards.home / "Cam" / "admin.sock").exists()
    assert wards.node("Cam", "show")["site"] == "Cam"


def test_another_authority_and_strangers_are_refused_over_tls(wards: Processes, tmp_path: Path) -> None:
    address = wards.address()
    (tmp_path / "other").mkdir()
    create_authority(tmp_path / "other")
    other = (tmp_path / "other" / "ca.pem").read_text()
    with https_client(wards.url, other, None, 10) as client, pytest.raises(TransportError, match="did not prove"):
        call(client, "GET", "/v1/health")
    with https_client(wards.url, address.authority, None, 10) as client:
        assert call(client, "GET", "/v1/health")["status"] == "ok"
        with pytest.raises(AccessRefused):
            call(client, "POST", f"/v1/projects/{PROJECT}/preparations", {})
    auth = SignedAuth(PrivateKey.generate(), audience=address.federation)
    with https_client(wards.url, address.authority, auth, 10) as client, pytest.raises(AccessRefused):
        call(client, "POST", f"/v1/projects/{PROJECT}/preparations", {})
    with pytest.raises(httpx.HTTPError):
        httpx.get(wards.url.replace("https", "http") + "/v1/health", timeout=10)


def test_the_hub_holds_nothing_of_a_person(wards: Processes) -> None:
    """A rare value is in every site's table; the studies touch its column; no byte of it reaches the hub."""
    project = wards.project()
    plans = [
        sj.Plan(
            table="patients",
            purpose="HMB",
            where="lab > 9",  # far from everybody: other tests ask about all
            analyses={"model": sj.glm("sick ~ age + lab", family="binomial"), "lab": sj.describe("lab", by="sick")},
        ),
        sj.Plan(table="patients", purpose="HMB", analyses={"cells": sj.crosstab("group", "sick")}),
    ]
    for plan in plans:
        project.submit(plan).wait(60)
    number = str(CANARY_NUMBER)
    raw = [number.encode(), np_bytes(CANARY_NUMBER)]
    hub = wards.home / "hub"
    for path in [path for path in hub.rglob("*") if path.is_file()] + [wards.home / "hub.out"]:
        data = path.read_bytes()
        assert not any(word in data for word in raw), path
    with sqlite3.connect(f"file:{hub / 'hub.db'}?mode=ro", uri=True) as connection:
        texts = [str(value) for (value,) in connection.execute("SELECT answer FROM task WHERE answer IS NOT NULL")]
    assert texts and not any(number in text or encoded(CANARY_NUMBER) in text for text in texts)
    found = [
        path
        for path in (wards.home / "Avon").rglob("*")
        if path.is_file() and CANARY_LEVEL.encode() in path.read_bytes()
    ]
    assert found  # the scan does find what is there


def np_bytes(value: float) -> bytes:
    """A double as it stands in an array."""
    import struct

    return struct.pack("<d", value)


def encoded(value: float) -> str:
    """The middle of a double's base64, whatever stands before it."""
    import base64

    return base64.b64encode(np_bytes(value))[:8].decode()


def test_signals_reach_only_what_was_started(wards: Processes) -> None:
    """SIGINT ends a node as SIGTERM does, and its workers with it."""
    before = workers(wards.running["Brent"].pid)
    wards.signal("Brent", signal.SIGINT)
    assert wards.running["Brent"].wait(10) == 0
    assert before and not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert hub_program.ask(wards.home / "hub", "verify")["ok"]

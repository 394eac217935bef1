"""The systemd units: what systemd itself says of them where it is installed, and what we promise of them anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sojourn.cli import app

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = {"sojourn-hub.service": 2.0, "sojourn-node.service": 3.5, "sojourn-backup@.service": 2.0}
LONGEST_STOP = 40  # seconds that our graceful stop may take
# Each covers a part of /proc, or forbids the sandbox its host name: bubblewrap then does not start.
NOT_AT_THE_NODE = ("ProtectProc", "ProcSubset", "ProtectKernelLogs", "ProtectKernelTunables", "ProtectHostname")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed: its own checks are not made")


def settings(text: str) -> dict[str, list[str]]:
    """All values of each setting."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def unit(name: str) -> dict[str, list[str]]:
    return settings((UNITS / name).read_text())


def analyzed(folder: Path, name: str, *words: str) -> str:
    """What systemd says of an installed copy whose program is there and which is for the hub."""
    for path in UNITS.iterdir():
        text = path.read_text().replace("/opt/sojourn/bin/sojourn", sys.executable)
        (folder / path.name.replace("@", "@hub")).write_text(text)
    file = str(folder / name.replace("@", "@hub"))
    done = subprocess.run([str(ANALYZE), *words, file], capture_output=True, text=True, timeout=60)
    return f"{done.stdout}{done.stderr}rc={done.returncode}"


@needs_systemd
@pytest.mark.parametrize("name", [path.name for path in sorted(UNITS.iterdir())])
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    assert analyzed(tmp_path, name, "verify", "--man=no") == "rc=0"


@needs_systemd
@pytest.mark.parametrize("name", EXPOSURE)
def test_exposure_is_low(name: str, tmp_path: Path) -> None:
    said = analyzed(
        tmp_path, name, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[name] * 10:.0f}"
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None and float(found[1]) <= EXPOSURE[name], said


@needs_systemd
def test_a_wrong_unit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    text = "[Unit]\nDescription=x\n[Service]\nProtectSytem=strict\nExecStart=/opt/sojourn/bin/sojourn\n"
    (planted / "sojourn-hub.service").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "UNITS", planted)
    assert "ProtectSytem" in analyzed(tmp_path, "sojourn-hub.service", "verify", "--man=no")
    said = analyzed(tmp_path, "sojourn-hub.service", "security", "--offline=true", "--no-pager")
    assert "UNSAFE" in said


@pytest.mark.parametrize("name", EXPOSURE)
def test_every_service_is_confined_and_runs_a_command_that_exists(name: str) -> None:
    service = unit(name)
    due = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "UMask": "0077"}
    assert {name: service[name] for name in due} == {name: [value] for name, value in due.items()}
    assert service["CapabilityBoundingSet"] == [""] and service["StateDirectoryMode"] == ["0700"]
    assert not any(user in ("root", "") for user in service["User"])
    [start] = service["ExecStart"]
    command = re.search(r"/opt/sojourn/bin/sojourn (\S+) (\w+)", start)
    assert command is not None
    for party in ("hub", "node") if command[1] == "%i" else (command[1],):
        known = get_command(app).commands[party].commands[command[2]]  # type: ignore[attr-defined]
        options = {word for parameter in known.params for word in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", start)) <= options


@pytest.mark.parametrize("name", ["sojourn-hub.service", "sojourn-node.service"])
def test_a_program_comes_back_and_has_time_to_end(name: str) -> None:
    service = unit(name)
    assert service["Restart"] == ["on-failure"] and service["KillMode"] == ["mixed"]
    assert int(service["TimeoutStopSec"][0]) > LONGEST_STOP


def test_the_node_s_unit_lets_its_sandbox_work() -> None:
    service = unit("sojourn-node.service")
    assert [name for name in NOT_AT_THE_NODE if name in service] == []
    assert set(service["RestrictNamespaces"][0].split()) == {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}
    assert "AF_NETLINK" in service["RestrictAddressFamilies"][0].split()
    assert "@mount" in service["SystemCallFilter"][0].split()

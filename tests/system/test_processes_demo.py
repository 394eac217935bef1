"""`sojourn demo` as its first user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from federation_processes import alive, descendants

KEYS = {"model", "pooled", "max_difference_se", "sites", "refused", "bytes_left", "audit_verified", "seconds"}


@pytest.mark.long
def test_the_demo_tells_the_truth_and_leaves_nothing_running(tmp_path: Path) -> None:
    figures, home, report = tmp_path / "f.json", tmp_path / "h", tmp_path / "r.html"
    words = ["demo", "--json", str(figures), "--home", str(home), "--report", str(report)]
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen([sys.executable, "-m", "sojourn", *words], stdout=out, stderr=subprocess.STDOUT)
        seen: set[int] = set()
        end = time.monotonic() + 110
        while demo.poll() is None and time.monotonic() < end:
            seen |= descendants(demo.pid)
            time.sleep(0.05)
        if demo.poll() is None:
            demo.terminate()
    said = (tmp_path / "out").read_text()
    assert demo.wait(30) == 0, said[-2000:]
    assert len(seen) >= 10  # a hub, four nodes, their workers
    assert not [pid for pid in seen if alive(pid) and mine(pid, home)]
    port = int((home / "hub" / "hub.yaml").read_text().partition("port: ")[2].split()[0])
    assert f":{port:04X} " not in listening()
    document = json.loads(figures.read_text())
    assert set(document) >= KEYS
    assert document["max_difference_se"] <= 1e-9
    assert document["audit_verified"] is True
    assert document["refused"]["ask"] and document["refused"]["rule"] == "minimum frequency"
    assert [row["term"] for row in document["model"]] == [row["term"] for row in document["pooled"]]
    for ours, theirs in zip(document["model"], document["pooled"], strict=True):
        assert abs(ours["estimate"] - theirs["estimate"]) <= 1e-9 * theirs["std_error"]
        assert abs(ours["std_error"] - theirs["std_error"]) <= 1e-9 * theirs["std_error"]
    assert len(document["sites"]) == 4 and list(document["sites"].values()).count("contributed") >= 3
    for site, status in document["sites"].items():
        assert document["bytes_left"][site] > 0 or status != "contributed"
    page = report.read_text(encoding="utf-8")
    assert len(page) > 10_000
    for outside in ('src="http', 'href="http', "@import", 'src="//'):
        assert outside not in page


def listening() -> str:
    """The local addresses on which anything of this machine listens."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return "\n".join(f"{line.split()[1]} " for line in lines if line.split()[3] == "0A")


def mine(pid: int, home: Path) -> bool:
    """Whether a process is still the one that was seen, and not a later one that got its number."""
    try:
        return str(home) in Path(f"/proc/{pid}/cmdline").read_text() or os.readlink(f"/proc/{pid}/cwd") == "/"
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False

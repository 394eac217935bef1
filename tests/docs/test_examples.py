"""The manual's examples, run as they stand: shell and Python blocks of a page, in order, in one working folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "tutorials/first-study.md",
    "tutorials/airlock.md",
    "tutorials/rare-disease.md",
    "tutorials/harmonise.md",
    "how-to/connect-a-hospital.md",
    "how-to/operate.md",
    "how-to/get-through-the-airlock.md",
    "how-to/compare-sites.md",
    "how-to/handle-missing-values.md",
    "how-to/keep-a-study-record.md",
    "how-to/profile-an-export.md",
    "how-to/load-vocabularies.md",
    "how-to/harmonise-tables.md",
)
SYNTHEA = str(Path(__file__).parents[1] / "data" / "synthea_etl")
BLOCK = re.compile(r"^```(?P<kind>\{ \.sh \.background \}|sh|python)\n(?P<text>.*?)^```$", re.M | re.S)
READY = re.compile(r"(The federation runs|The hub answers|asks https://)")
PATIENCE = 120
LONGEST = 280  # of a page in one session: twenty hospitals in one process take their time


@dataclass(frozen=True)
class Block:
    """One example: sh, python, or background."""

    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    """The runnable examples of a page."""
    found = BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))
    return [Block(match["kind"].strip("{} ").replace(".sh .", ""), match["text"]) for match in found]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell in which `sojourn` and `python` are this environment's."""
    data = str(resources.files("sojourn") / "data" / "heart")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "DATA": data, "SYNTHEA": SYNTHEA, "LANG": "C.UTF-8", "COLUMNS": "100"}


@pytest.fixture
def background() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that an example leaves running; ended after the page, newest first."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in reversed(running):
        process.terminate()
    for process in reversed(running):
        process.wait(60)


def start(text: str, folder: Path, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program and wait until it says that it is ready."""
    with log.open("wb") as out:
        process = subprocess.Popen(["bash", "-c", f"exec {text}"], cwd=folder, env=environment, stdout=out, stderr=out)
    until = time.monotonic() + PATIENCE
    while not READY.search(log.read_text(encoding="utf-8", errors="replace")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    return process


def test_pages_have_examples() -> None:
    assert all(len(blocks(page)) >= 5 for page in PAGES)


def test_the_plan_of_the_reference_is_a_plan(tmp_path: Path, environment: dict[str, str]) -> None:
    script = [block.text for block in blocks("reference/plan.md") if block.kind == "python"]
    assert script
    run_python(script, tmp_path, environment)
    run(["sojourn", "study", "check", "plan.yaml"], tmp_path, environment)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.nightly if "rare" in page else pytest.mark.long) for page in PAGES]
)
def test_every_example_runs(
    page: str, tmp_path: Path, environment: dict[str, str], background: list[subprocess.Popen[bytes]]
) -> None:
    script: list[str] = []
    for number, block in enumerate(blocks(page)):
        if block.kind == "background":
            background.append(start(block.text, tmp_path, environment, tmp_path / f"background-{number}.log"))
            continue
        if block.kind == "python":
            # One Python session for the page: earlier blocks run again, which a plan's new nonce each time allows.
            script.append(block.text)
            continue
        run_python(script, tmp_path, environment)
        run(["bash", "-euo", "pipefail", "-c", block.text], tmp_path, environment)
        exported = re.findall(r"^export (\w+)=(.+)$", block.text, re.M)
        environment |= {name: value.strip('"').replace("$PWD", str(tmp_path)) for name, value in exported}
    run_python(script, tmp_path, environment)


def run_python(script: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run what has gathered since the last shell block, in one session with all that came before it."""
    if script:
        run([sys.executable, "-W", "error", "-c", "\n".join(script)], folder, environment)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run to the end; the output is shown where it fails."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"

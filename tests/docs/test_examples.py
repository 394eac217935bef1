"""The manual's examples, run as they stand: shell and Python blocks of a page, in order, in one working folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    with session(tmp_path, environment) as python:
        for number, block in enumerate(blocks(page)):
            if block.kind == "background":
                background.append(start(block.text, tmp_path, environment, tmp_path / f"background-{number}.log"))
            elif block.kind == "python":
                python(block.text)
            else:
                run(["bash", "-euo", "pipefail", "-c", block.text], tmp_path, environment)
                exported = re.findall(r"^export (\w+)=(.+)$", block.text, re.M)
                environment |= {name: value.strip('"').replace("$PWD", str(tmp_path)) for name, value in exported}


def test_a_block_that_fails_is_told_and_names_stay(tmp_path: Path, environment: dict[str, str]) -> None:
    with session(tmp_path, environment) as python:
        python("import os\nfirst = 2")
        environment["LATER"] = "3"
        python("assert first + int(os.environ['LATER']) == 5")
        with pytest.raises(AssertionError, match="NameError: name 'second'"):
            python("second")
        with pytest.raises(AssertionError, match="DeprecationWarning: old"):
            python("import warnings; warnings.warn('old', DeprecationWarning)")
        with pytest.raises(AssertionError, match="ended"):
            python("os._exit(0)")


SESSION = """
import json, os, sys, traceback
names = {"__name__": "__main__"}
with os.fdopen(int(sys.argv.pop()), "w") as told:
    for line in sys.stdin:
        text, environment = json.loads(line)
        os.environ.update(environment)
        try:
            exec(compile(text, "example", "exec"), names)
            print("done", file=told, flush=True)
        except BaseException:
            traceback.print_exc()
            print("failed", file=told, flush=True)
"""


@contextlib.contextmanager
def session(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], None]]:
    """A Python session that one block after the other is given, as a reader has one; it begins with the first."""
    running: list[subprocess.Popen[str]] = []
    read, write = os.pipe()
    log = folder / "python.log"

    def python(text: str) -> None:
        if not running:
            with log.open("w") as out:
                command = [sys.executable, "-W", "error", "-c", SESSION, str(write)]
                options = {"cwd": folder, "env": environment, "stdout": out, "stderr": out, "text": True}
                running.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[write], **options))
            os.close(write)
        before = log.stat().st_size
        print(json.dumps([text, environment]), file=running[0].stdin, flush=True)
        assert select.select([read], [], [], LONGEST)[0], f"{text} took too long"
        told = os.read(read, 100) or b"ended"
        assert told == b"done\n", f"{told.decode()}: {text}\n{log.read_text(encoding='utf-8')[before:]}"

    try:
        yield python
        if running:
            running[0].stdin.close()
            assert running[0].wait(60) == 0, log.read_text(encoding="utf-8")
    finally:
        for process in running:
            process.stdin.close()
            process.wait(60)
        if not running:
            os.close(write)
        os.close(read)


def run_python(script: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Blocks in a session of their own."""
    run([sys.executable, "-W", "error", "-c", "\n".join(script)], folder, environment)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run to the end; the output is shown where it fails."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"

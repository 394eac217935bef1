"""The audit hook of tests/conftest.py is seen to catch what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SETTINGS = "[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\nmarkers =\n    oracle: may touch\n"

CAUGHT = {
    "socket": "import socket; socket.socket()",
    "resolver": "import socket; socket.getaddrinfo('localhost', 80)",
    "process": "import subprocess; subprocess.run(['true'])",
    "shell": "import os; os.system('true')",
    "fork": "import os; os._exit(0) if os.fork() == 0 else None",
    "spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "sqlite": "import sqlite3; sqlite3.connect(':memory:')",
    "duckdb": "import duckdb; duckdb.connect()",
    "swallowed": "import contextlib, sqlite3\n    with contextlib.suppress(Exception): sqlite3.connect(':memory:')",
}
LET_THROUGH = {
    "pure": "assert sum([1, 2]) == 3",
    "own_file": "import pathlib; assert pathlib.Path(__file__).read_text()",
}
PLANTED_ORACLE = """
import pytest


@pytest.mark.oracle
def test_oracle():
    import sqlite3
    sqlite3.connect(':memory:').close()
"""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one run of pytest over planted tests says: for each test the words that it reported."""
    root = tmp_path_factory.mktemp("planted")
    (root / "pytest.ini").write_text(SETTINGS)
    bodies = "\n".join(f"def test_{name}():\n    {body}\n" for name, body in (CAUGHT | LET_THROUGH).items())
    for folder, source in {"statistics": bodies + PLANTED_ORACLE, "hub": bodies}.items():
        (root / "tests" / folder).mkdir(parents=True)
        (root / "tests" / folder / f"test_in_{folder}.py").write_text(source)
    (root / "tests" / "conftest.py").write_bytes(CONFTEST.read_bytes())
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:xdist", "--tb=no", "--color=no"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100)
    said: dict[str, str] = {}
    for line in run.stdout.splitlines():
        test, _, word = line.partition(" ")
        if "::" in test:
            said[test.removeprefix("tests/")] = said.get(test.removeprefix("tests/"), "") + word.split()[0]
    assert said, run.stdout + run.stderr
    return said


@pytest.mark.parametrize("name", CAUGHT)
def test_a_noun_that_touches_the_world_is_caught(name: str, verdicts: dict[str, str]) -> None:
    verdict = verdicts[f"statistics/test_in_statistics.py::test_{name}"]
    assert "FAILED" in verdict or "ERROR" in verdict


@pytest.mark.parametrize("name", [*LET_THROUGH, "oracle"])
def test_pure_tests_and_marked_oracles_pass(name: str, verdicts: dict[str, str]) -> None:
    assert verdicts[f"statistics/test_in_statistics.py::test_{name}"] == "PASSED"


@pytest.mark.parametrize("name", ["socket", "process", "sqlite", "duckdb"])
def test_programs_are_not_watched(name: str, verdicts: dict[str, str]) -> None:
    assert verdicts[f"hub/test_in_hub.py::test_{name}"] == "PASSED"

"""The import contracts of pyproject.toml hold, and each breaks when a violation of it is planted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

# contract, module that gets one more line, that line
PLANTED = [
    ("floors", "errors.py", "import sojourn.analysis.partial"),
    ("floors", "analysis/partial.py", "import sojourn.identity.keys"),
    ("floors", "cohort/__init__.py", "import sojourn.disclosure.gate"),
    ("floors", "wire/__init__.py", "import sojourn.storage"),
    ("floors", "hub/__init__.py", "import sojourn.client"),
    ("floors", "node/__init__.py", "import sojourn.testbed"),
    ("floors", "shed.py", ""),  # a module that stands on no floor
    ("pure", "statistics/__init__.py", "import socket"),
    ("pure", "disclosure/gate.py", "import subprocess"),
    ("pure", "audit/entry.py", "import sqlite3"),
    ("pure", "cohort/__init__.py", "import duckdb"),
    ("pure", "study/__init__.py", "import ibis"),
    ("pure", "messages.py", "import httpx"),
    ("pure", "governance/__init__.py", "from urllib.request import urlopen"),
    ("records", "hub/__init__.py", "import sojourn.node"),
    ("records", "client/__init__.py", "import sojourn.node"),
    ("records", "storage/__init__.py", "import sojourn.node"),
]


def lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the tree under `root` with its own pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    for contract in contracts:
        command += ["--contract", contract]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=100)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The real tree, to plant in."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_real_tree_keeps_every_contract() -> None:
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("contract", "module", "line"), PLANTED)
def test_a_planted_violation_breaks_its_contract(copy: Path, contract: str, module: str, line: str) -> None:
    path = copy / "src" / "sojourn" / module
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    run = lint(copy, contract)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"{CONTRACTS[contract]} BROKEN" in run.stdout


def test_every_contract_is_planted_against() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)


def test_the_console_gets_its_contract_when_it_is_built() -> None:
    """It may show the node's services but never open its warehouse; import-linter cannot name what is not there."""
    assert (ROOT / "src" / "sojourn" / "console").exists() == ("console" in CONTRACTS)

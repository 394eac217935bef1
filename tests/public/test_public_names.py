"""The package's own names load when they are used, and nothing heavy before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sojourn

SOURCE = str(Path(__file__).parents[2] / "src")
HEAVY = {"pandas", "fastapi", "pydantic", "httpx", "sqlalchemy", "duckdb", "ibis", "altair", "jinja2", "numpy", "lark"}


def loaded_after(code: str) -> set[str]:
    """The heavy libraries that are loaded in a fresh interpreter after some code."""
    script = f"import sys; sys.path.insert(0, {SOURCE!r}); {code}; print(*({HEAVY} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(run.stdout.split())


def test_the_package_alone_loads_nothing() -> None:
    assert loaded_after("import sojourn; sojourn.__version__; dir(sojourn); sojourn.errors.PlanError") == set()


def test_a_plan_loads_neither_web_nor_databases_nor_figures() -> None:
    assert loaded_after("import sojourn; sojourn.Plan; sojourn.glm") <= {"numpy", "lark"}


def test_the_measure_measures() -> None:
    assert "pandas" in loaded_after("import pandas")


@pytest.mark.parametrize("name", sojourn.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sojourn, name) is not None
    assert name in dir(sojourn)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sojourn.nothing  # noqa: B018


def test_a_hub_and_an_idle_node_load_no_part_of_scipy() -> None:
    """Fifteen megabytes of each, which a program that only coordinates never needs."""
    load = f"import sys; sys.path.insert(0, {SOURCE!r}); import sojourn.hub.program, sojourn.node.program"
    command = [sys.executable, "-c", f"{load}; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert not {"scipy.special", "scipy.stats", "scipy.optimize", "scipy.sparse", "scipy.linalg"} & set(loaded)

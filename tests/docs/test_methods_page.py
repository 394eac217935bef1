"""Every statistic has been compared with another program, and the page says what the kept figures say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sojourn.statistics import catalogue

ROOT = Path(__file__).parents[2]
WRAPPED = {"meta", "imputed", "indicated"}  # functions of the catalogue that give a model arguments
FEWEST_DIGITS = 6.0  # in standard errors, where an optimiser limits both sides


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods_page", ROOT / "benchmarks" / "methods_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept(page: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    return found


def lacking(methods: dict[str, Any]) -> set[str]:
    return (set(catalogue.NAMES) | WRAPPED) ^ set(methods)


def test_every_statistic_is_compared(kept: dict[str, Any]) -> None:
    """Add its line to benchmarks/methods_tables.py or methods_models.py, and run benchmarks/methods.py."""
    assert lacking(kept["methods"]) == set()
    without = {name: lines for name, lines in kept["methods"].items() if name != "trend"}
    assert lacking(without) == {"trend"}


def test_every_figure_is_within_what_is_promised(kept: dict[str, Any]) -> None:
    lines = [line for found in kept["methods"].values() for line in found]
    assert min(line["digits"] for line in lines) >= FEWEST_DIGITS
    assert min(line["rounds"] for line in lines) >= 1 and min(line["bytes_left"] for line in lines) > 0


def test_the_page_is_made_from_the_figures(page: ModuleType, kept: dict[str, Any]) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.made(text, kept) == text

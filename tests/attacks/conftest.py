"""Fixtures of the attack tests: the four hospitals of the demonstration behind a hub that lies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `hostile` and `peeling` are modules of these tests
sys.path.append(str(Path(__file__).parents[1] / "system"))  # `restorable`

from hostile import HEART, HostileHub, heart_dictionary
from recorded import figures, pytest_addoption, pytest_runtest_logreport, pytest_sessionfinish

__all__ = ["figures", "pytest_addoption", "pytest_runtest_logreport", "pytest_sessionfinish"]


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileHub]:
    """The four hospitals with the product's own rules."""
    folder = tmp_path_factory.mktemp("heart")
    with HostileHub(folder, {site: (path, heart_dictionary()) for site, path in HEART.items()}) as hub:
        yield hub

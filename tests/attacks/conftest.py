"""Fixtures of the attack tests: the four hospitals of the demonstration behind a hub that lies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `hostile` and `peeling` are modules of these tests

from hostile import HEART, HostileHub, heart_dictionary


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileHub]:
    """The four hospitals with the product's own rules."""
    folder = tmp_path_factory.mktemp("heart")
    with HostileHub(folder, {site: (path, heart_dictionary()) for site, path in HEART.items()}) as hub:
        yield hub


@pytest.fixture
def figures() -> Callable[..., None]:
    """Keep one attack's figure; the page of the attacks is made from them."""

    def keep(id: str, what: str, *, without: str, with_defence: str, mark: str, benign: str) -> None:
        assert all((id, what, without, with_defence, mark, benign))

    return keep

"""A local socket answers also in a folder whose path is longer than a socket's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.wire.administration import administer, administration, listens
from sojourn.wire.serving import serve_locally


@pytest.mark.parametrize("depth", [1, 12])
def test_a_local_function_is_reached_at_any_depth(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a-long-name"] * depth)
    folder.mkdir(parents=True)
    path = folder / "admin.sock"
    assert not listens(path)
    with serve_locally(administration({"double": lambda number: 2 * number}), path):
        assert listens(path)
        assert administer(path, "double", number=21) == 42
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()

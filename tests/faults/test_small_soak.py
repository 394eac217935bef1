"""C25, bounded: `make soak-federation` does the same with 1,000 studies, 20 nodes and five kills."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import Soak


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_c25_twenty_studies_four_nodes_two_kills_of_the_hub(tmp_path: Path) -> None:
    federation = Soak(tmp_path, nodes=4)
    try:
        federation.make()
        report = federation.soak(studies=20, restarts=2, researchers=4, seconds=250)
    finally:
        federation.close()
    print(report)
    assert report["problems"] == []
    assert report["terminal"] == report["seen_by_researchers"] == {"completed": 20}
    assert report["lost"] == report["doubled"] == report["not_terminal"] == report["wrong_answers"] == 0
    assert report["releases"] == 20 * 4 and report["logs_verified"] == 5

"""1,000 studies over 20 nodes with five kills of the hub: `make soak-federation` writes benchmarks/results/soak.json.

One process for the hub and one for each node, over TLS on loopback; nodes compute in threads, without a sandbox.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "faults"), str(ROOT / "tests" / "system")]

from soak import Soak  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "soak.json"


def main() -> None:
    """Run it and write the results file; exit 1 where anything is lost or doubled."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--studies", type=int, default=1000)
    words.add_argument("--nodes", type=int, default=20)
    words.add_argument("--restarts", type=int, default=5)
    words.add_argument("--researchers", type=int, default=16)
    words.add_argument("--seconds", type=float, default=7200)
    words.add_argument("--results", type=Path, default=RESULTS)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="sojourn-soak-") as scratch:
        federation = Soak(Path(scratch), asked.nodes)
        try:
            federation.make()
            report = federation.soak(asked.studies, asked.restarts, asked.researchers, asked.seconds)
        finally:
            federation.close()
    machine = {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    text = json.dumps({"machine": machine, **report}, indent=2)
    asked.results.write_text(text + "\n", encoding="utf-8")
    print(text)
    sys.exit(bool(report["problems"] or report["lost"] or report["doubled"] or report["not_terminal"]))


if __name__ == "__main__":
    main()

"""Replay one seed, or soak many.

PYTHONPATH=tests python -m simulation --seed N --trace
PYTHONPATH=tests python -m simulation --seeds 10000 --defect-seeds 300 --out benchmarks/results/simulation.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from simulation.defects import DEFECTS, found, planted
from simulation.simulator import simulate
from simulation.soak import outcomes, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description="Deterministic simulation of a federation.")
    parser.add_argument("--seed", type=int, help="run this seed")
    parser.add_argument("--trace", action="store_true", help="print what happens in it")
    parser.add_argument("--defect", choices=sorted(DEFECTS), default="", help="with this defect planted")
    parser.add_argument("--seeds", type=int, default=300, help="run so many seeds")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--defect-seeds", type=int, default=0, help="and so many with each planted defect")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        with planted(arguments.defect):
            outcome = simulate(arguments.seed, print if arguments.trace else None)
        print(outcome)
        return bool(outcome.problem)
    # A fresh interpreter each: the strands' threads do not survive a fork.
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        figures = soak(pool, arguments.seeds, arguments.first)
        figures["workers"] = arguments.workers
        figures["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
        if arguments.defect_seeds:
            figures["defect_seeds"] = arguments.defect_seeds
            figures["defects_found"] = {
                name: sum(found(name, outcome) for outcome in outcomes(pool, arguments.defect_seeds, name))
                / arguments.defect_seeds
                for name in DEFECTS
            }
    text = json.dumps(figures, indent=2) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    return bool(figures["broken"])


if __name__ == "__main__":
    sys.exit(main())

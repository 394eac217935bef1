"""Many seeds, in several processes, and their figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from simulation.defects import planted
from simulation.simulator import Outcome, simulate

CHUNK = 20


def chunk(defect: str, first: int, after: int) -> list[Outcome]:
    """The outcomes of these seeds, with or without a planted defect."""
    with planted(defect):
        return [simulate(seed) for seed in range(first, after)]


def outcomes(pool: ProcessPoolExecutor, seeds: int, defect: str = "", first: int = 0) -> Iterator[Outcome]:
    """Of so many seeds from `first` on, as they come."""
    after = first + seeds
    starts = range(first, after, CHUNK)
    for done in pool.map(chunk, [defect] * len(starts), starts, [min(start + CHUNK, after) for start in starts]):
        yield from done


def soak(pool: ProcessPoolExecutor, seeds: int, first: int = 0) -> dict[str, Any]:
    """The figures of many sound seeds from `first` on; each that broke an invariant is printed as it comes."""
    began, broken = time.perf_counter(), []
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    hours = events = 0.0
    for number, outcome in enumerate(outcomes(pool, seeds, first=first), start=1):
        hours, events = hours + outcome.seconds / 3600, events + outcome.events
        faults += outcome.faults
        ends += outcome.ends
        if outcome.problem:
            broken.append(outcome.seed)
            print(outcome, "\nReplay:", replay(outcome.seed), flush=True)
        if number % 1000 == 0:
            print(f"{number} seeds, {number / (time.perf_counter() - began):.1f} a second", flush=True)
    seconds = time.perf_counter() - began
    return {
        "first_seed": first,
        "seeds": seeds,
        "broken": broken,
        "seconds": round(seconds, 1),
        "seeds_per_second": round(seeds / seconds, 2),
        "simulated_hours": round(hours, 1),
        "events": int(events),
        "studies": dict(sorted(ends.items())),
        "faults": dict(faults.most_common()),
    }


def replay(seed: int, defect: str = "") -> str:
    """How to see a seed again."""
    planting = f' --defect "{defect}"' if defect else ""
    return f"PYTHONPATH=tests .venv/bin/python -m simulation --seed {seed} --trace{planting}"

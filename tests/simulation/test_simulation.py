"""A federation of the product's own hub and nodes under loss, crashes, revocations: 300 seeds, five planted defects.

The defects are looked for each night.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.defects import DEFECTS, found
from simulation.simulator import simulate
from simulation.soak import chunk, replay

SEEDS = 300
CHUNK = 20
DEFECT_SEEDS = 30
SHARE = 0.2  # of the seeds that must find a planted defect
TESTS = Path(__file__).parents[1]
KINDS = {"request lost", "answer lost", "request repeated", "old request repeated", "disk full", "approval withdrawn"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_invariant_holds_in_every_seed(first: int) -> None:
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for outcome in chunk("", first, first + CHUNK):
        faults += outcome.faults
        ends += outcome.ends
        assert not outcome.problem, f"seed {outcome.seed}: {outcome.problem}\nReplay: {replay(outcome.seed)}"
    assert 5 * ends["completed"] >= ends.total(), "where hardly anything completes, hardly anything can break"
    assert faults.keys() >= KINDS
    assert sum(times for kind, times in faults.items() if kind.startswith("crash")) >= CHUNK / 2


@pytest.mark.nightly
@pytest.mark.timeout(400)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str) -> None:
    by: list[int] = []
    for seed in range(DEFECT_SEEDS):
        by += [outcome.seed for outcome in chunk(defect, seed, seed + 1) if found(defect, outcome)]
        if len(by) >= SHARE * DEFECT_SEEDS:
            return
    pytest.fail(f"{len(by)} of {DEFECT_SEEDS} seeds found it: {by}")


def test_a_seed_replays_exactly() -> None:
    """The digest is of every event and of every party's last signed checkpoint, so of every byte of their logs."""
    seed = 7
    lines: list[str] = []
    first, second = simulate(seed, lines.append), simulate(seed)
    assert first == second and first.events > 100
    assert sum("\u2014 simulated" in line for line in lines) == 1
    assert simulate(seed + 1).digest != first.digest


def test_a_seed_replays_in_another_process() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-m", "simulation", "--seed", "7"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True).stdout
    assert f"digest='{simulate(7).digest}'" in printed

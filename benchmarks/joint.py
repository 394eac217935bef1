"""Joint tests, beside MPyC's comparisons on the same numbers in the same run: benchmarks/results/joint.json.

Of each of 1,000 cells it is opened whether at least T = 10 persons stand behind it beyond every site's own, among 5
sites, and among 20 of which 5 evaluate. All parties work one after another in one process, so that the seconds are of
all of them together; those of a party are the most that one of them works, without its network. MPyC runs as five
processes of its own over local sockets, with the array operations of its manual.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import keep
from numpy.typing import NDArray

from sojourn.secrecy.joint import Form, JointTest, opening, share, step, verdict

CELLS, T, TIMES, EVALUATORS = 1_000, 10, 5, 5
GOAL = 10.0
PROGRAM = Path(__file__).parents[1] / "tests" / "secrecy" / "mpyc_thresholds.py"
PORT = 24_500


def thresholds(sites: int) -> JointTest:
    """Every cell beyond each site at least T."""
    names = tuple(f"site {number:02}" for number in range(sites))
    conditions = tuple(
        ((tuple(Form(((cell, 1),), ((site, cell, -1),), 0, T - 1) for site in range(sites)),),) for cell in range(CELLS)
    )
    return JointTest(names, names[:EVALUATORS], CELLS, conditions)


def drawn(sites: int) -> NDArray[np.int64]:
    """Few persons at each site, so that about half of the cells pass."""
    return np.random.default_rng(sites).poisson(1.4 * T / (sites - 1), (sites, CELLS))


class Clock:
    """Seconds of each party."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    def call(self, party: str, work: Any, *arguments: Any) -> Any:
        """Do it, on this party's account."""
        began = time.perf_counter()
        done = work(*arguments)
        self.of[party] = self.of.get(party, 0.0) + time.perf_counter() - began
        return done


def joint(sites: int, numbers: NDArray[np.int64]) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """One joint test from its layout to its bits."""
    clock, began, sent = Clock(), time.perf_counter(), 0
    test = thresholds(sites)
    rounds = test.rounds()  # lays out the products, once
    received: dict[str, dict[str, bytes]] = {name: {} for name in test.evaluators}
    for site, own in zip(test.sites, numbers, strict=True):
        for name, bundle in clock.call(site, share, test, site, own).items():
            received[name][site] = bundle
    for number in range(1, rounds + 1):
        sent += sum(len(bundle) for bundles in received.values() for bundle in bundles.values())
        following: dict[str, dict[str, bytes]] = {name: {} for name in test.evaluators}
        for sender in test.evaluators:
            for name, bundle in clock.call(sender, step, test, number, received[sender]).items():
                following[name][sender] = bundle
        received = following
    shares = {name: clock.call(name, opening, test, received[name]) for name in test.evaluators}
    bits = verdict(test, shares)
    seconds = time.perf_counter() - began
    figures = {"rounds": rounds, "seconds": seconds, "party_seconds": max(clock.of.values())}
    return {**figures, "megabytes_in_all": sent / 1e6}, bits


def measured(sites: int) -> dict[str, Any]:
    """The median run; every bit is checked."""
    numbers = drawn(sites)
    runs = []
    for _ in range(TIMES):
        figures, bits = joint(sites, numbers)
        if not np.array_equal(bits, numbers.sum(axis=0) - numbers.max(axis=0) >= T):
            raise RuntimeError("a bit is wrong")
        runs.append(figures)
    middle = median(run["seconds"] for run in runs)
    return next(run for run in runs if run["seconds"] == middle) | {"sites": sites, "pass": int(bits.sum())}


def compared() -> float:
    """Seconds that MPyC takes for the same cells among five parties, from input to output."""
    numbers = drawn(5)
    with TemporaryDirectory() as folder:
        case = Path(folder) / "numbers.json"
        case.write_text(json.dumps({"threshold": T, "numbers": numbers.tolist()}))
        command = [sys.executable, str(PROGRAM), str(case), "-M5", "-B", str(PORT), "--no-log"]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if not np.array_equal(done["bits"], numbers.sum(axis=0) - numbers.max(axis=0) >= T):
        raise RuntimeError("a bit of MPyC's is wrong")
    return float(done["seconds"])


if __name__ == "__main__":
    five, twenty, mpyc = measured(5), measured(20), compared()
    keep(
        "joint",
        {
            "goals": {"seconds": GOAL},
            "cells": CELLS,
            "joint": [five, twenty],
            "mpyc_seconds": mpyc,
            "mpyc_over_joint": mpyc / five["seconds"],
        },
    )

"""Masked studies under loss, crashes, repetitions, revocations: 122 seeds, of which two run with every test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from simulation.masked import MaskedFederation
from simulation.simulator import simulate
from sojourn.disclosure import masked_gate
from sojourn.node.masked_store import MaskedStore
from sojourn.node.masking import Masking

SEEDS, ALWAYS, CHUNK = 122, 2, 20
KINDS = {"request lost", "answer lost", "request repeated", "old request repeated", "disk full", "approval withdrawn"}


def judged(seeds: range) -> tuple[Counter[str], Counter[str]]:
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for seed in seeds:
        outcome = simulate(seed, kind=MaskedFederation)
        assert not outcome.problem, f"seed {seed}: {outcome.problem}"
        faults, ends = faults + outcome.faults, ends + outcome.ends
    return faults, ends


def test_every_invariant_holds_in_the_first_seeds() -> None:
    faults, ends = judged(range(ALWAYS))
    assert faults and ends


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(ALWAYS, SEEDS, CHUNK))
def test_every_invariant_holds_in_every_seed(first: int) -> None:
    faults, ends = judged(range(first, first + CHUNK))
    assert faults.keys() >= KINDS and ends["completed"] >= CHUNK / 4
    assert sum(times for kind, times in faults.items() if kind.startswith("crash")) >= CHUNK / 2


def bare(patched: pytest.MonkeyPatch) -> None:
    """Numbers leave without masks, and nobody looks whether bytes are random, which finds that by itself."""
    patched.setattr(masked_gate, "plausible", lambda vector: True)
    patched.setattr(Masking, "mask", lambda self, vector, circle, place, history: vector)


def charged_again(patched: pytest.MonkeyPatch) -> None:
    """Each round of an analysis is taken for its first."""
    patched.setattr(MaskedStore, "charged", lambda self, study, analysis: False)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("plant", "breaks"),
    [(bare, "a part of a sum can be read"), (charged_again, "nothing doubled: a node's entry is there twice")],
)
def test_a_planted_defect_is_found(plant: Callable[[pytest.MonkeyPatch], None], breaks: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        plant(patched)
        problems = [simulate(seed, kind=MaskedFederation).problem for seed in range(16)]
    found = [problem for problem in problems if problem]
    assert found and all(problem.startswith(breaks) for problem in found), problems

"""Joint tests evaluated in one process: by the protocol, and by plain arithmetic on all numbers."""

from __future__ import annotations

import random as pseudorandom
import secrets
from collections.abc import Callable

import numpy as np

from sojourn.secrecy.joint import Form, JointTest, opening, share, step, verdict


def seeded(seed: int) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run."""
    return pseudorandom.Random(seed).randbytes


def messages(test: JointTest, inputs: np.ndarray, random: Callable[[int], bytes]) -> list[dict[str, dict[str, bytes]]]:
    """What each evaluator receives from each sender, round by round."""
    received = {name: {} for name in test.evaluators}
    for site, own in zip(test.sites, inputs, strict=True):
        for name, bundle in share(test, site, own, random).items():
            received[name][site] = bundle
    rounds = [received]
    for number in range(1, test.rounds() + 1):
        sent = {name: {} for name in test.evaluators}
        for sender in test.evaluators:
            for name, bundle in step(test, number, rounds[-1][sender], random).items():
                sent[name][sender] = bundle
        rounds.append(sent)
    return rounds


def openings(
    test: JointTest, inputs: np.ndarray, random: Callable[[int], bytes] = secrets.token_bytes
) -> dict[str, bytes]:
    last = messages(test, inputs, random)[-1]
    return {name: opening(test, last[name]) for name in test.evaluators}


def protocol(test: JointTest, inputs: np.ndarray, random: Callable[[int], bytes] = secrets.token_bytes) -> np.ndarray:
    return verdict(test, openings(test, inputs, random))


def plain(test: JointTest, inputs: np.ndarray) -> np.ndarray:
    def holds(form: Form) -> bool:
        value = sum(factor * int(inputs[:, place].sum()) for place, factor in form.total)
        value += sum(factor * int(inputs[site, place]) for site, place, factor in form.own)
        return not form.low <= value <= form.high

    return np.array(
        [
            all(any(all(map(holds, alternative)) for alternative in clause) for clause in condition)
            for condition in test.conditions
        ]
    )

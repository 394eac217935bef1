"""What the gate adds to a round of a certified statistic: judging and releasing, beside the round's own computation.

Processor time in one thread, medians, in turn: a Newton round of a logistic model with 20 parameters, a description of
ten columns by five groups, a cross-table of 10 x 10. The evidence behind an analysis is made once a run, not a round,
and is measured apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from machine import keep

from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.gate import Header, look, release
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.crosstab import Crosstab
from sojourn.statistics.describe import Describe
from sojourn.statistics.glm import GLM

PERSONS, TIMES, GOAL_MS = 50_000, 41, 5.0
HEADER = Header("s", "p", "a", 0, "q", "site", "f", "", "", 0, "bench", "")
POLICY = StandardPolicy()


def people() -> Population:
    """19 numbers, an outcome, a group of five levels and two categories of ten."""
    random = np.random.default_rng(5)
    columns: dict[str, Any] = {f"x{i}": random.normal(10, 2, PERSONS) for i in range(19)}
    variables = dict.fromkeys(columns, Variable(Kind.NUMBER))
    columns["ill"] = (random.random(PERSONS) < 0.3).astype(np.int8)
    variables["ill"] = Variable(Kind.BOOLEAN)
    for name, size in (("group", 5), ("a", 10), ("b", 10)):
        columns[name] = random.integers(0, size, PERSONS).astype(np.int32)
        variables[name] = Variable(Kind.CATEGORY, levels=tuple(f"{name}{i}" for i in range(size)))
    return Population("site", variables, columns, np.arange(PERSONS, dtype=np.uint32), {})


def asks() -> dict[str, tuple[Statistic, str, dict[str, Any]]]:
    """Each statistic with a step and what is broadcast for it."""
    numbers = [f"x{i}" for i in range(19)]
    model = GLM.read({"formula": f"ill ~ {' + '.join(numbers)}", "family": "binomial"}, "model")
    at = {"centre": np.array([0.0, *[10.0] * 19]), "coefficients": np.zeros(20)}
    return {
        "glm_20": (model, "newton", at),
        "describe_10_by_5": (Describe(tuple(numbers[:10]), ("group",)), "sums", {}),
        "crosstab_10_by_10": (Crosstab(("a", "b")), "count", {}),
    }


def milliseconds(*parts: Callable[[], Any]) -> list[float]:
    """The median processor time of each, measured in turn."""
    taken: list[list[float]] = [[] for _ in parts]
    for _ in range(TIMES):
        for part, times in zip(parts, taken, strict=True):
            began = time.process_time()
            part()
            times.append(1000 * (time.process_time() - began))
    return [statistics.median(times) for times in taken]


def measured(statistic: Statistic, step: str, broadcast: dict[str, Any], population: Population) -> dict[str, float]:
    """One statistic's round: computing, judging, releasing; and its evidence."""
    evidence = statistic.support(population)
    if evidence.design is not None:
        working = statistic.working(step, population, broadcast)
        evidence = replace(evidence, design=replace(evidence.design, working=working))
    partial = statistic.local(step, population, broadcast)
    [declared] = [one for one in statistic.steps(population.variables) if one.name == step]
    output = Output(statistic.name, declared, partial, evidence, population.variables, tuple(statistic.rules))
    asked = count(1)

    def compute() -> None:
        """Another ask each time: the sums of the last one are kept."""
        further = 1e-6 * next(asked)
        statistic.local(step, population, {name: array + further for name, array in broadcast.items()})

    own, judging, releasing = milliseconds(
        compute, lambda: look(output, POLICY), lambda: release(look(output, POLICY), POLICY, HEADER)
    )
    [once] = milliseconds(lambda: statistic.support(population))
    return {
        "round_ms": own,
        "look_ms": judging,
        "look_and_release_ms": releasing,  # the airlock looks once
        "ratio_to_round": releasing / own,
        "evidence_once_a_run_ms": once,
        "numbers": float(partial.numbers()),
    }


def main() -> None:
    """All three, kept as gate.json."""
    population = people()
    found = {name: measured(*ask, population) for name, ask in asks().items()}
    worst = max(entry["look_and_release_ms"] for entry in found.values())
    keep("gate", {"persons": PERSONS, "goal_ms": GOAL_MS, "worst_ms": worst, "within": worst <= GOAL_MS, **found})


if __name__ == "__main__":
    main()

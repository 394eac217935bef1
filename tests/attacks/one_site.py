"""One site's part of a study without a store: the statistic's own rounds, each through the real gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sojourn.analysis.partial import Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Gathered, Statistic
from sojourn.analysis.variable import Variable
from sojourn.disclosure.gate import Header, Policy, release
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.glm import GLM

SITE = "Cleveland"
HEADER = Header("s", "p", "a", 0, "q", SITE, "f", "", "", 0, "test", "")
Round = tuple[Ask, Partial]


def people(columns: dict[str, Any], variables: dict[str, Variable]) -> Population:
    """A population of one row a person."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    count = len(next(iter(arrays.values())))
    return Population(SITE, variables, arrays, np.arange(count, dtype=np.uint32), {})


def rounds(statistic: Statistic, population: Population, policy: Policy | None = None) -> Iterator[Round]:
    """Every round's ask and release; DisclosureRefused where the gate refuses one. Default: the product's own rules."""
    statistic.check(population.variables)
    support, steps = statistic.support(population), {step.name: step for step in statistic.steps(population.variables)}
    coordinator = statistic.coordinator(population.variables)
    ask = next(coordinator)
    while True:
        partial = statistic.local(ask.step, population, ask.broadcast)
        evidence = support
        if support.design is not None:
            working = statistic.working(ask.step, population, ask.broadcast)
            evidence = replace(support, design=replace(support.design, working=working))
        output = Output(
            statistic.name, steps[ask.step], partial, evidence, population.variables, tuple(statistic.rules)
        )
        cleared = release(output, policy or StandardPolicy(), HEADER).partial
        yield ask, cleared
        try:
            ask = coordinator.send(Gathered(cleared, {SITE: cleared}, {SITE: 9}))
        except StopIteration:
            return


def model(formula: str, **words: Any) -> GLM:
    """A regression as a plan reads it."""
    return GLM.read({"formula": formula, **words}, "model")

"""Utility of masked plans: fifty patients thin over twenty hospitals, at a threshold of 10 persons.

What analysts of a rare disease ask, of many draws of fifty patients. For each question the joint test is laid out and
its conditions are evaluated in plain arithmetic over the sites' numbers (the protocol opens the same bits, which tests
show), each draw as the first thing ever asked. An answer leaves *whole*, with *cells hidden*, or is *refused*; in clear
no site of two or three persons shows anything. For quantiles that leave: between which ends the answer lies.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from machine import keep
from numpy.typing import NDArray

import sojourn as sj
from cohort import SMALL, cohort
from sojourn.analysis.matrix import Layout as Columns
from sojourn.analysis.matrix import design
from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Gathered, Squared, Statistic, Suppressed
from sojourn.analysis.variable import Kind, Variable, Variables, with_site
from sojourn.disclosure.joint import Demands, Layout
from sojourn.disclosure.joint_squares import Squares
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import JointTest

PATIENTS, HOSPITALS = 50, 20
SITES = tuple(f"H{number:02}" for number in range(HOSPITALS))
DECLARED: Variables = {
    "age": Variable(Kind.NUMBER, low=18, high=100),
    "bmi": Variable(Kind.NUMBER, low=10, high=60),
    "sex": Variable(Kind.CATEGORY, levels=("female", "male")),
    "hypertension": Variable(Kind.BOOLEAN),
    "diabetes": Variable(Kind.BOOLEAN),
    "year": Variable(Kind.CATEGORY, levels=("first", "second")),
    "event": Variable(Kind.BOOLEAN),
}
ASKED: dict[str, Statistic] = {
    "number of patients": sj.count(),
    "count by sex": sj.count(by="sex"),
    "cross-table, sex by event": sj.crosstab("sex", "event"),
    "survival-ready table, year by event": sj.count(by=["year", "event"]),
    "table 1 of all": sj.describe("age", "bmi"),
    "table 1 by sex": sj.describe("age", "bmi", by="sex"),
    "table 1 by event": sj.describe("age", "bmi", by="event"),
    "histogram of age, three bins": sj.histogram("age", [55, 70]),
    "median of age": sj.quantiles("age", q=[0.5], precision=1, bins=12),
    "logistic, two numbers": sj.glm("event ~ age + bmi", family="binomial"),
    "logistic, a number and a factor": sj.glm("event ~ age + C(sex)", family="binomial"),
    "linear, two numbers": sj.glm("bmi ~ age + event", family="gaussian"),
}


def drawn(everyone: pd.DataFrame, seed: int) -> list[Population]:
    """Fifty patients of the cohort over the hospitals, two or three each; half of them with an event."""
    random = np.random.default_rng(seed)
    rows = everyone.sample(PATIENTS, random_state=seed)
    rows = rows.assign(
        year=random.choice(["first", "second"], PATIENTS), event=random.random(PATIENTS) < random.uniform(0.3, 0.7)
    )
    variables = with_site(DECLARED, SITES)
    places = random.permutation(PATIENTS) % HOSPITALS
    return [_population(site, variables, rows[places == number]) for number, site in enumerate(SITES)]


def _population(site: str, variables: Variables, rows: pd.DataFrame) -> Population:
    columns: dict[str, NDArray[Any]] = {}
    for name, variable in DECLARED.items():
        match variable.kind:
            case Kind.NUMBER:
                columns[name] = rows[name].to_numpy(dtype=np.float64)
            case Kind.BOOLEAN:
                columns[name] = rows[name].to_numpy(dtype=np.int8)
            case Kind.CATEGORY:
                columns[name] = np.array([variable.levels.index(word) for word in rows[name]], dtype=np.int32)
    return Population(site, variables, columns, rows.index.to_numpy(dtype=np.uint32), {})


def bits(test: JointTest, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """What the joint test opens, without secrecy. numbers: (sites, inputs)."""
    sums = numbers.sum(axis=0)

    def holds(form: Any) -> bool:
        value = sum(int(sums[place]) * factor for place, factor in form.total)
        value += sum(int(numbers[site, place]) * factor for site, place, factor in form.own)
        return not form.low <= value <= form.high

    return np.array(
        [
            all(any(all(map(holds, alternative)) for alternative in clause) for clause in condition)
            for condition in test.conditions
        ]
    )


def answered(statistic: Statistic, sites: list[Population]) -> tuple[str, str, Any]:
    """How an answer leaves, the family of a refusal, and the estimate where it is of one round."""
    variables = sites[0].variables
    try:
        layout = Layout.of(statistic.support(nobody(SITES[0], variables)), variables, statistic.rules)
        parameters = Parameters()
        numbers = np.array([layout.numbers(statistic.support(site), parameters) for site in sites])
        found = bits(layout.test(SITES, SITES[:5], Demands.of(parameters)), numbers)
        shapes = {name: shape for step in statistic.steps(variables) for name, shape in step.partial.items()}
        masks = layout.masks(found, shapes)
        masks |= squares_hidden(statistic, sites, layout, masks)
    except DisclosureRefused as refused:
        return "refused", refused.family, None
    if statistic.name == "glm" and largest_leverage(statistic, sites) > parameters.leverage:
        return "refused", "a site's gate", None
    if statistic.name != "quantiles":
        return ("cells hidden" if _hidden(masks) else "whole"), "", None
    coordinator = statistic.coordinator(variables)
    ask = next(coordinator)
    sums = total(statistic.local(ask.step, site, {}) for site in sites)
    try:
        coordinator.send(Gathered(Partial(sums.arrays, masks), {}))
    except StopIteration as end:
        [row] = end.value.rows
        return ("refused" if isinstance(row[-1], Suppressed) else "with ends"), "", row
    raise AssertionError("quantiles have one round")


def squares_hidden(
    statistic: Statistic, sites: list[Population], layout: Layout, masks: dict[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.bool_]]:
    """What the test of squares about means hides besides; DisclosureRefused where it is a model's."""
    if not isinstance(statistic, Squared):
        return {}
    variables, coordinator = sites[0].variables, statistic.coordinator(sites[0].variables)
    ask = next(coordinator)
    while ask.step != statistic.squared:
        sums = total(statistic.local(ask.step, site, ask.broadcast) for site in sites)
        hidden = {name: mask for name, mask in masks.items() if name in sums.arrays}
        ask = coordinator.send(Gathered(Partial(sums.arrays, hidden), {}))
    squares = Squares.of(layout, statistic.distances(nobody(SITES[0], variables), ask.broadcast), masks)
    test = squares.test(SITES, SITES[:5]) if squares.parts else None
    if test is None:
        return squares.masks(None)
    numbers = [
        squares.numbers(statistic.support(site), statistic.distances(site, ask.broadcast), Parameters(), ())
        for site in sites
    ]
    return squares.masks(bits(test, np.array(numbers)))


def _hidden(masks: dict[str, NDArray[np.bool_]]) -> bool:
    """Whether something is hidden that is not nobody's missing value."""
    return any(mask.any() for name, mask in masks.items() if name != "missing")


def largest_leverage(statistic: Any, sites: list[Population]) -> float:
    """Of a person in the design of all."""
    columns = Columns.of(statistic.formula, sites[0].variables)
    x = np.concatenate([design(columns, site) for site in sites])
    q, _ = np.linalg.qr(x)
    return float((q**2).sum(axis=1).max())


def measured(draws: int) -> dict[str, Any]:
    """Each question of each draw."""
    everyone = pd.concat(cohort(SMALL | {"North": 2_000}, complete=True).values(), ignore_index=True)
    everyone = everyone[everyone["age"].between(18, 100) & everyone["bmi"].between(10, 60)]
    kinds: dict[str, Counter[str]] = {name: Counter() for name in ASKED}
    reasons: Counter[str] = Counter()
    widths: list[float] = []
    began = time.perf_counter()
    for sites in _draws(everyone, draws):
        for name, statistic in ASKED.items():
            word, family, row = answered(statistic, sites)
            kinds[name][word] += 1
            reasons[family] += bool(family)
            if row is not None and not isinstance(row[-1], Suppressed):
                widths.append(float(row[-1]) - float(row[-2]))
    every = sum(kinds.values(), Counter())
    asked = sum(every.values())
    return {
        "patients": PATIENTS,
        "hospitals": HOSPITALS,
        "draws": draws,
        "leaves_percent": 100 * (asked - every["refused"]) / asked,
        "whole_percent": 100 * every["whole"] / asked,
        "most_at_a_hospital": -(-PATIENTS // HOSPITALS),
        "kinds": {name: dict(counted) for name, counted in kinds.items()},
        "reasons": {family: count for family, count in reasons.most_common() if family},
        "median_between_years": {
            "median": statistics.median(widths) if widths else None,
            "largest": max(widths, default=None),
        },
        "seconds": time.perf_counter() - began,
    }


def _draws(everyone: pd.DataFrame, draws: int) -> Iterator[list[Population]]:
    return (drawn(everyone, seed) for seed in range(draws))


def main() -> None:
    """Kept under benchmarks/results/utility_thin.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    keep("utility_thin", measured(parser.parse_args().draws))


if __name__ == "__main__":
    main()

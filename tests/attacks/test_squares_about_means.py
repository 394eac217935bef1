"""One value far out, read from a deviation: mean + sd sqrt(n - 1) is nearly it, however small a part of a sum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_site import HEADER, people
from recorded import Figures

import evaluated_shares as evaluated
import sojourn as sj
from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Ask, Estimate, Gathered, Squared
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.gate import release
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_squares import Squares
from sojourn.disclosure.output import Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused, SojournError
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
OUT = 430.0  # days in hospital, where others have 40
PERSONS = 300
ROWS = 3_000  # so many that one person is no great part of a model's terms
DESCRIBED: dict[str, Squared] = {
    "describe": sj.describe("days", by="sex"),
    "t_test": sj.t_test("days", by="sex"),
    "anova": sj.anova("days", by="sex"),
    "balance": sj.balance("days", by="sex"),
}
MODELS: dict[str, Squared] = {
    "glm": sj.glm("days ~ sex"),
    "lmm": sj.lmm("days ~ age", "ward"),
    "elastic_net": sj.elastic_net("days ~ age + sex"),
}
VARIABLES = with_site(
    {
        "days": Variable(Kind.NUMBER, low=0, high=500),
        "age": Variable(Kind.NUMBER, low=0, high=120),
        "sex": Variable(Kind.CATEGORY, levels=("f", "m")),
        "ward": Variable(Kind.NUMBER, low=0, high=1_000),
    },
    SITES,
)


def columns(seed: int, n: int, out: float | None = None) -> dict[str, Any]:
    """One site's persons; at the first the one who is far out, where there is one."""
    random = np.random.default_rng(seed)
    days = np.round(random.normal(40, 1, n), 1)
    days[0] = days[0] if out is None or seed else out
    ages = random.integers(30, 90, n).astype(float)
    return {"days": days, "age": ages, "sex": np.arange(n) % 2, "ward": np.arange(n) // 50.0}


def sites(n: int, out: float | None = None) -> dict[str, Population]:
    return {site: replace(people(columns(seed, n, out), VARIABLES), site=site) for seed, site in enumerate(SITES)}


def clear(ask: Squared, persons: Mapping[str, Population], policy: Any) -> Estimate:
    """What a clear plan answers: every round of every site through the gate."""
    support = {site: ask.support(one) for site, one in persons.items()}
    steps = {step.name: step for step in ask.steps(VARIABLES)}

    def gathered(asked: Ask) -> Gathered:
        parts = {}
        for site, one in persons.items():
            own, partial = support[site], ask.local(asked.step, one, asked.broadcast)
            if own.design is not None:
                own = replace(own, design=replace(own.design, working=ask.working(asked.step, one, asked.broadcast)))
            output = Output(ask.name, steps[asked.step], partial, own, VARIABLES, tuple(ask.rules))
            parts[site] = release(output, policy, HEADER).partial
        return Gathered(total(parts.values()), parts, dict.fromkeys(parts, 9))

    return _to_the_end(ask, gathered)


def masked(ask: Squared, persons: Mapping[str, Population], tested: bool = True) -> Estimate:
    """What a masked plan answers: sums, and the joint test of squares about their mean, if it is made."""
    layout = Layout.of(ask.support(nobody("Avon", VARIABLES)), VARIABLES, ask.rules)

    def gathered(asked: Ask) -> Gathered:
        parts = [ask.local(asked.step, one, asked.broadcast).arrays for one in persons.values()]
        hidden = {}
        if tested and asked.step == ask.squared:
            squares = Squares.of(layout, ask.distances(nobody("Avon", VARIABLES), asked.broadcast), {})
            test = squares.test(SITES, SITES)
            assert test is not None
            own = [
                squares.numbers(ask.support(one), ask.distances(one, asked.broadcast), Parameters(), ())
                for one in persons.values()
            ]
            hidden = squares.masks(evaluated.plain(test, np.stack(own)))
        summed = {name: sum(part[name] for part in parts) for name in parts[0]}
        shown = {name: np.where(hidden.get(name, False), 0, array) for name, array in summed.items()}
        return Gathered(Partial(shown, hidden), {})

    return _to_the_end(ask, gathered)


def _to_the_end(ask: Squared, gathered: Any) -> Estimate:
    coordinator = ask.coordinator(VARIABLES)
    asked = next(coordinator)
    while True:
        try:
            asked = coordinator.send(gathered(asked))
        except StopIteration as end:
            found: Estimate = end.value
            return found


def guesses(name: str, found: Estimate, persons: int) -> list[float]:
    """What an attacker makes of one answer."""
    rows = [dict(zip((*found.index, *found.columns), row, strict=True)) for row in found.rows]
    if name == "describe":
        return [_guess(row["n"], row["mean"], row["sd"]) for row in rows]
    if name in ("t_test", "anova"):
        groups = found.facts["groups"]["days"]
        errors = [row.get("std_error") for row in rows]
        made = [_guess(one["n"], one["mean"], one["sd"]) for one in groups]
        half = groups[0]["n"]  # nearly all of an error is the one group's
        return made + [_guess(half, groups[0]["mean"], one * math.sqrt(half)) for one in errors if _numbers(one)]
    if name == "balance":
        first, second, smd = (rows[0][word] for word in ("first", "second", "smd"))
        return [_guess(persons / 2, first, math.sqrt(2) * abs((second - first) / smd))] if _numbers(smd) else []
    facts = found.facts
    left = facts["sigma"] if name == "lmm" else math.sqrt(facts["dispersion"]) if name == "glm" else math.nan
    return [_guess(persons, 40.0, left)]


def _numbers(*cells: Any) -> bool:
    return all(isinstance(cell, int | float) and math.isfinite(cell) for cell in cells)


def _guess(n: Any, mean: Any, sd: Any) -> float:
    return float(mean + sd * math.sqrt(n - 1)) if _numbers(n, mean, sd) else math.nan


def read_off(answers: Mapping[str, Estimate], persons: int, within: float = 0.02) -> list[str]:
    """The analyses that give the value, to within this share of it."""
    return [
        name
        for name, found in answers.items()
        if any(abs(one / OUT - 1) < within for one in guesses(name, found, persons))
    ]


def test_a15_a_deviation_is_nearly_one_persons(figures: Figures) -> None:
    few, usual, persons = sites(PERSONS, OUT), sites(PERSONS), PERSONS * len(SITES)
    bare = {name: clear(ask, few, UnsafeReleaseAll()) for name, ask in DESCRIBED.items()}
    assert read_off(bare, persons) == list(DESCRIBED)
    safe = {name: clear(ask, few, StandardPolicy()) for name, ask in DESCRIBED.items()}
    assert read_off(safe, persons) == []
    assert all(_numbers(row[2], row[4]) for row in safe["describe"].rows)  # numbers and means
    for name, ask in DESCRIBED.items():
        assert clear(ask, usual, StandardPolicy()) == clear(ask, usual, UnsafeReleaseAll()) or name == "describe"
    assert all(_numbers(*row[4:]) for row in clear(DESCRIBED["describe"], usual, StandardPolicy()).rows)
    figures(
        "A15",
        f"a value far out of {PERSONS} at one site, as mean + sd √(n - 1), through {', '.join(DESCRIBED)}",
        without=f"{len(bare)} of {len(DESCRIBED)} give it to within 2 %",
        with_defence="0: no deviation, and nothing that follows from one; numbers and means are shown",
        mark="the value is in no answer",
        benign=f"the same {len(DESCRIBED)} of the same table without that value are whole",
    )


def test_a15_the_same_under_masks(figures: Figures) -> None:
    few, usual, persons = sites(PERSONS, OUT), sites(PERSONS), PERSONS * len(SITES)
    bare = {name: masked(ask, few, tested=False) for name, ask in DESCRIBED.items()}
    assert read_off(bare, persons) == list(DESCRIBED)
    safe = {name: masked(ask, few) for name, ask in DESCRIBED.items()}
    assert read_off(safe, persons) == []
    assert all(_numbers(row[2], row[4]) for row in safe["describe"].rows)
    assert all(masked(ask, usual) == masked(ask, usual, tested=False) for ask in DESCRIBED.values())
    figures(
        "A15",
        f"the same under masks, of {persons} at {len(SITES)} sites",
        without=f"{len(bare)} of {len(DESCRIBED)} give it to within 2 %",
        with_defence="0: the squares fail a joint test about the mean of all; numbers and means are shown",
        mark="the value is in no answer",
        benign=f"the same {len(DESCRIBED)} of the same tables without that value are shown whole",
    )


@pytest.mark.parametrize("how", ["clear", "masked"])
def test_a15_what_a_model_leaves_is_nearly_one_persons(how: str, figures: Figures) -> None:
    """Of so many rows the terms of the score rest on enough persons, and their squares do not."""
    few, usual, persons = sites(ROWS, OUT), sites(ROWS), ROWS * len(SITES)

    def answered(ask: Squared, of: Mapping[str, Population], defended: bool) -> Estimate:
        policy = StandardPolicy() if defended else UnsafeReleaseAll()
        return clear(ask, of, policy) if how == "clear" else masked(ask, of, tested=defended)

    bare = read_off({name: answered(ask, few, False) for name, ask in MODELS.items()}, persons, within=0.05)
    assert bare == ["glm", "lmm"]  # of a path the squares are told between the rounds, and to all sites
    for ask in MODELS.values():
        with pytest.raises(DisclosureRefused):
            answered(ask, few, True)
        assert answered(ask, usual, True).rows
    figures(
        "A15",
        f"a value far out of {ROWS:,} at one site, as what a model leaves of its outcome: {', '.join(MODELS)} ({how})",
        without=f"{', '.join(bare)} give it to within 5 %",
        with_defence="all are refused: dominance",
        mark="the value is in no answer",
        benign=f"the same {len(MODELS)} of the same tables without that value are fitted",
    )


# ---- through hub and nodes


def bounded(dictionary: Any) -> Any:
    known = dictionary.columns.items()
    own = {name: replace(one, low=VARIABLES[name].low, high=VARIABLES[name].high) for name, one in known}
    return replace(dictionary, columns=own)


@pytest.mark.parametrize(
    "how", [pytest.param("clear", marks=pytest.mark.long), pytest.param("masked", marks=pytest.mark.nightly)]
)
def test_a15_through_hub_and_nodes(how: str) -> None:
    data = {
        site: {table: _frame(seed, out) for table, out in (("few", OUT), ("usual", None))}
        for seed, site in enumerate(SITES)
    }
    asks: dict[str, Any] = {"describe": DESCRIBED["describe"], "t_test": DESCRIBED["t_test"]}
    with Federation(data, review=bounded) as federation:
        for table, defended in (("few", True), ("usual", False)):
            plan = Plan(table=table, analyses=asks, aggregation=how, **({"min_sites": 3} if how == "clear" else {}))
            results = federation.run(plan)
            cells = results["describe"].table
            assert _numbers(*cells["n"], *cells["mean"]) and _numbers(*cells["sd"]) != defended
            cells = results["t_test"].table
            assert _numbers(*cells["estimate"]) and _numbers(*cells["std_error"], *cells["p_value"]) != defended
            assert any("quantiles" in said for said in results["t_test"].warnings) == defended
        if how == "masked":  # in clear Avon alone gives none
            plan = Plan(table="few", analyses={"both": sj.correlation("days", "age")}, aggregation=how)
            with pytest.raises(SojournError, match="squares about a mean"):
                federation.run(plan)["both"].table  # noqa: B018


def _frame(seed: int, out: float | None) -> pd.DataFrame:
    made = pd.DataFrame(columns(seed, PERSONS, out))
    return made.assign(sex=np.where(made["sex"] == 0, "f", "m"))

"""Any split of the same rows into sites, and any order of sites, give the same answer: every method of the catalogue.

A person lies in one site, as clusters do. What is about single sites is apart: there the order alone must not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, category, population, run
from hypothesis import given, settings
from hypothesis import strategies as st

import sojourn as sj
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Estimate, Statistic
from sojourn.analysis.variable import Kind, Variable, Variables, with_site
from sojourn.statistics import catalogue

SITES, PERSONS, ROWS = ("s0", "s1", "s2", "s3"), 60, 3
VARIABLES = {
    **dict.fromkeys(("x", "z", "u", "m", "o"), NUMBER),
    **{name: Variable(Kind.NUMBER, low=0, high=20) for name in ("w", "events", "years", "age")},
    **dict.fromkeys(("y", "b"), BOOLEAN),
    "k": category("p", "q", "r"),
}
FREE: dict[str, Sequence[Statistic]] = {
    "anova": [sj.anova("m", "b", by="k"), sj.anova("m", by="k", variance="unequal")],
    "at_least": [sj.at_least(20, by=("k", "b"))],
    "balance": [sj.balance("x", "k", "y", by="b")],
    "correlation": [sj.correlation("x", "m", "z")],
    "count": [sj.count(), sj.count(by=("k", "b"))],
    "crosstab": [sj.crosstab("k", "b"), sj.crosstab("y", "b", "k")],
    "describe": [sj.describe("m", "y", by="k")],
    "direct_standardisation": [sj.direct_standardisation("events", "years", "k", {"p": 3, "q": 2, "r": 1}, by="b")],
    "elastic_net": [
        sj.elastic_net("m ~ x + z + k", alpha=0.5, count=8),
        sj.elastic_net("y ~ x + k", "binomial", lambdas=(0.05, 0.01)),
        sj.elastic_net("m ~ x + k", count=5, weights="w", offset="o"),
        sj.elastic_net("y ~ x + k", "binomial", lambdas=(0.05,), offset="o"),
    ],
    "firth": [
        sj.firth("y ~ x + k"),
        sj.firth("events ~ x", "poisson", offset="o"),
        sj.firth("y ~ x", interval="profile"),
    ],
    "glm": [
        sj.glm("m ~ x + k + b", weights="w"),
        sj.glm("y ~ x + k", "binomial", "cloglog"),
        sj.glm("events ~ x + k", "negative_binomial", offset="o", weights="w"),
        sj.glm("age ~ x", "gamma", "log", robust="cluster"),
        sj.indicated(sj.glm("y ~ x + u", "binomial"), "u"),
    ],
    "glmm": [sj.glmm("y ~ x"), sj.glmm("events ~ x", family="poisson", offset="o")],
    "histogram": [sj.histogram("age", edges=range(0, 21, 4))],
    "incidence": [sj.incidence("events", "years", by=("k", "b"), per=100)],
    "indirect_standardisation": [sj.indirect_standardisation("events", "years", "k", {"p": 1, "q": 2, "r": 1}, by="b")],
    "lmm": [sj.lmm("m ~ x + k"), sj.lmm("m ~ x", slopes="x", method="ML"), sj.lmm("m ~ x", weights="w")],
    "mantel_haenszel": [sj.mantel_haenszel("y", "b", "k")],
    "prevalence": [sj.prevalence("y", by="k", interval="exact")],
    "quantiles": [sj.quantiles("age", by="b", q=(0.1, 0.5), precision=1)],
    "t_test": [sj.t_test("m", "x", by="b"), sj.t_test("m", by="b", variance="equal")],
    "trend": [sj.trend("y", by="k")],
}
OF_SITES: dict[str, Sequence[Statistic]] = {
    "profile_likelihood": [sj.profile_likelihood("y ~ b", "b[T.True]", -3, 3, points=21)],
    "glm": [sj.meta(sj.glm("y ~ x", "binomial"))],
    "lmm": [sj.lmm("m ~ x", "site")],
    "prevalence": [sj.meta(sj.prevalence("y", by="k"), combine="both")],
    "t_test": [sj.meta(sj.t_test("x", "m", by="b"))],
    "elastic_net": [sj.elastic_net("m ~ x + k", count=5, cross_validate=True)],
}
NOBODYS = {"overlap"}  # of pairs of sites, by no local part
# Where an optimiser limits both sides; all others are sums.
SEARCHED = {"glmm": 1e-6, "firth": 1e-8, "lmm": 1e-8, "glm": 1e-9}
_UNLIKE = {"rounds_used", "newton_decrement", "n_by_site"}


@cache
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(12)
    n, who = PERSONS * ROWS, np.repeat(np.arange(PERSONS), ROWS)
    x, k, own = rng.normal(size=n), rng.integers(0, 3, n), rng.normal(size=PERSONS)[who]
    eta = 0.7 * x + 0.5 * (k == 1) + own
    b, age = rng.random(n) < 0.45, rng.integers(1, 20, n)
    events = rng.poisson(np.exp(0.3 * x) * rng.gamma(1.2, 1 / 1.2, n))
    return {
        **{
            "x": x,
            "z": x + rng.normal(size=n),
            "u": np.where(age % 4 == 0, np.nan, own - x),
            "m": 5 + eta + rng.normal(size=n),
            "o": rng.random(n),
        },
        **{"w": rng.integers(0, 3, n), "events": events, "years": 1 + rng.integers(0, 5, n), "age": age},
        **{"y": rng.random(n) < 1 / (1 + np.exp(-eta)), "b": b, "k": np.array(list("pqr"))[k], "who": who},
    }


@cache
def hard() -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """The rows, and where persons lie: a site without events, one with one level, one empty, and rows twice."""
    columns = dict(rows())
    who = columns["who"]
    quiet, single, twice = (np.isin(who, range(*ends)) for ends in ((10, 20), (20, 30), (30, 40)))
    columns |= {"y": columns["y"] & ~quiet, "events": np.where(quiet, 0, columns["events"])}
    columns |= {"k": np.where(single, "q", columns["k"]), "b": columns["b"] & ~single}
    columns = {name: np.concatenate([values, values[twice]]) for name, values in columns.items()}
    return columns, tuple(1 if 10 <= person < 20 else 2 if 20 <= person < 30 else 0 for person in range(PERSONS))


def answer(
    statistic: Statistic,
    places: Sequence[int],
    names: Sequence[str] = SITES,
    columns: Mapping[str, np.ndarray] | None = None,
) -> Estimate:
    """Of the persons at these places; every site of the roster takes part, and some may be empty."""
    seen, columns = with_site(VARIABLES, tuple(names)), rows() if columns is None else columns
    of_row = np.asarray(places)[columns["who"]]
    return run(statistic, [_site(name, seen, columns, of_row == place) for place, name in enumerate(names)])[0]


def _site(name: str, seen: Variables, columns: Mapping[str, np.ndarray], here: np.ndarray) -> Population:
    own = {label: values[here] for label, values in columns.items()}
    made = population(name, seen, own, own.pop("who"))
    return replace(made, absent={"u": np.isnan(own["u"])})


@cache
def pooled(name: str) -> list[Estimate]:
    return [answer(statistic, [0] * PERSONS) for statistic in FREE[name]]


def same(found: Estimate, expected: Estimate, shift: float) -> None:
    """shift: of estimates, in standard errors where there are any."""
    assert (found.index, found.columns, found.warnings) == (expected.index, expected.columns, expected.warnings)
    assert found.exactness == expected.exactness
    error = expected.columns.index("std_error") + len(expected.index) if "std_error" in expected.columns else None
    for one, other in zip(found.rows, expected.rows, strict=True):
        scale = other[error] if error is not None else 0.0
        near = shift * scale if isinstance(scale, float) else 0.0
        for cell, wanted in zip(one, other, strict=True):
            assert alike(cell, wanted, 1e-8, max(near, 1e-12)), (one, other)
    assert alike(dict(found.facts), dict(expected.facts), 1e-8, 1e-9), (found.facts, expected.facts)


def alike(one: Any, other: Any, relative: float, absolute: float) -> bool:
    if isinstance(other, Mapping):
        kept = [{word: v for word, v in both.items() if word not in _UNLIKE} for both in (one, other)]
        return kept[0].keys() == kept[1].keys() and all(
            alike(kept[0][w], v, relative, absolute) for w, v in kept[1].items()
        )
    if isinstance(other, list | tuple):
        return len(one) == len(other) and all(alike(*pair, relative, absolute) for pair in zip(one, other, strict=True))
    if isinstance(other, float):
        return isinstance(one, float) and one == pytest.approx(other, rel=relative, abs=absolute, nan_ok=True)
    return type(one) is type(other) and one == other


def test_every_method_is_in_a_list():
    assert set(FREE) | set(OF_SITES) | NOBODYS == set(catalogue.NAMES)
    for lists in (FREE, OF_SITES):
        assert all(one.name == name for name, several in lists.items() for one in several)


@pytest.mark.parametrize("name", FREE)
@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=PERSONS, max_size=PERSONS), st.permutations(SITES))
def test_any_split_and_any_order_give_the_answer_of_all_rows_in_one_place(name, places, order):
    for statistic, expected in zip(FREE[name], pooled(name), strict=True):
        same(answer(statistic, places, order), expected, SEARCHED.get(name, 1e-9))


@pytest.mark.parametrize("name", FREE)
def test_a_site_without_events_one_with_one_level_an_empty_one_and_rows_twice(name):
    columns, places = hard()
    for statistic in FREE[name]:
        expected = answer(statistic, [0] * PERSONS, columns=columns)
        same(answer(statistic, places, columns=columns), expected, SEARCHED.get(name, 1e-9))


@pytest.mark.parametrize("name", OF_SITES)
@settings(max_examples=3, deadline=None)
@given(st.permutations(SITES))
def test_of_methods_about_single_sites_the_order_changes_nothing(name, order):
    places = [person % 4 for person in range(PERSONS)]
    for statistic in OF_SITES[name]:
        found, expected = answer(statistic, places, order), answer(statistic, places)
        same(_renamed(found, dict(zip(order, SITES, strict=True))), _renamed(expected, {}), 1e-6)


def _renamed(estimate: Estimate, names: Mapping[str, str]) -> Estimate:
    """Facts by site under other names; those that list sites in their order are left out."""
    told = {
        word: {names.get(site, site): v for site, v in value.items()} if word in ("by_site", "profiles") else value
        for word, value in estimate.facts.items()
        if word not in ("meta", "n_by_site")
    }
    return replace(estimate, facts=told)

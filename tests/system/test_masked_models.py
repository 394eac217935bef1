"""Every additive model through hub, nodes and client: masked answers are the clear ones; what has none says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.errors import SojournError
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

MODELS = {
    "gamma": sj.glm("cost ~ age + male", family="gamma"),
    "negative_binomial": sj.glm("falls ~ age + male", family="negative_binomial"),
    "robust": sj.glm("pain ~ age + male", family="binomial", robust="HC1"),
    "clustered": sj.glm("sbp ~ age + male", cluster="ward"),
    "lasso": sj.elastic_net("pain ~ age + male", family="binomial", lambdas=(0.05, 0.01)),
    "firth": sj.firth("pain ~ age + male"),
    "mixed": sj.lmm("sbp ~ age + male", group="ward"),
    "logistic_mixed": sj.glmm("pain ~ age + male", group="ward"),
}
IN_CI = ("clustered",)  # the others each night


def bounded(dictionary: Dictionary) -> Dictionary:
    """As a custodian declares: numbers are within a range, without which an outcome has no joint test."""
    columns = dict(dictionary.columns)
    for name, high in (("age", 120.0), ("falls", 40.0), ("cost", 1000.0), ("sbp", 300.0)):
        columns[name] = replace(columns[name], low=0.0, high=high)
    return replace(dictionary, columns=columns)


def cohort(seed: int, wards: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ward = np.repeat(np.arange(wards), 5)
    own, n = rng.normal(size=wards)[ward], len(ward)
    age, male = rng.integers(30, 80, n).astype(float), rng.random(n) < 0.5
    risk = 1 / (1 + np.exp(0.5 - 0.03 * (age - 55) - 0.6 * own))
    return pd.DataFrame(
        {
            "ward": ward.astype(float),
            "age": age,
            "male": male,
            "pain": rng.random(n) < risk,
            "falls": rng.poisson(np.exp(0.02 * (age - 55)) * rng.gamma(2.0, 0.5, n)).astype(float),
            "cost": np.round(rng.gamma(3.0, np.exp(3 + 0.01 * age) / 3), 2) + 0.01,
            "sbp": np.round(125 + 0.4 * (age - 55) + 5 * own + rng.normal(0, 6, n), 1),
        }
    )


@pytest.fixture
def three() -> Iterator[Federation]:
    """One a test: the joint test of a plan grows with every masked sum that was shown before."""
    sites = {name: {"cohort": cohort(seed)} for seed, name in enumerate(("Avon", "Brent", "Cam"))}
    with Federation(sites, review=bounded) as federation:
        yield federation


def answer(federation: Federation, name: str, aggregation: str) -> pd.DataFrame:
    plan = sj.Plan(table="cohort", analyses={name: MODELS[name]}, aggregation=aggregation)
    return federation.run(plan, timeout=250)[name].table


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in IN_CI else pytest.mark.nightly) for name in MODELS]
)
def test_masked_equals_clear(three: Federation, name: str) -> None:
    sites = {site: {"cohort": cohort(seed)} for seed, site in enumerate(("Avon", "Brent", "Cam"))}
    with Federation(sites, review=bounded) as apart:  # what left one ledger in clear stands in the way of a masked sum
        clear = answer(apart, name, "clear")
    masked = answer(three, name, "masked")
    scale = clear.get("std_error", 1.0)
    assert ((masked["estimate"] - clear["estimate"]).abs() / scale).max() < 1e-6
    if "std_error" in clear:
        assert masked["std_error"].to_numpy() == pytest.approx(clear["std_error"].to_numpy(), rel=1e-6)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (sj.lmm("sbp ~ age + male", group="site"), "Single sites' estimates"),
        (sj.elastic_net("sbp ~ age + male", cross_validate=True), "each site's own sums"),
    ],
)
def test_what_takes_each_sites_own_has_no_masked_form(three: Federation, model: object, said: str) -> None:
    with pytest.raises(SojournError, match=said):
        three.run(sj.Plan(table="cohort", analyses={"m": model}, aggregation="masked"))["m"].table  # noqa: B018

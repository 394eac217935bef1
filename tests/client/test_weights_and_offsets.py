"""Weights, offsets and profiles end to end: the product's own rules at every site, and the pooled rows' answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.client.results import Results
from sojourn.testbed import Federation

pytestmark = pytest.mark.long
ASKED = {
    "mixed": sj.lmm("m ~ x", "ward", weights="w"),
    "counts": sj.glmm("falls ~ x", "ward", family="poisson", offset="o"),
    "path": sj.elastic_net("m ~ x + z", lambdas=(0.1, 0.01), weights="w", offset="o"),
    "logistic_path": sj.elastic_net("died ~ x + z", "binomial", lambdas=(0.05, 0.01), offset="o"),
    "profile": sj.firth("died ~ x", interval="profile"),
    "table": sj.crosstab("stage", "died"),
}


def patients(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ward = np.repeat(np.arange(60), 5)
    own, x, z, o = rng.normal(size=60)[ward], rng.normal(size=300), rng.normal(size=300), rng.uniform(0, 1, 300)
    made = {"ward": ward + 100.0 * seed, "x": x.round(2), "z": z.round(2), "o": o.round(2)}
    made |= {"w": rng.integers(1, 5, 300).astype(float), "m": (5 + x + own + rng.normal(size=300)).round(2)}
    made["falls"] = rng.poisson(np.exp(0.3 * x + 0.4 * own + o)).astype(float)
    made["died"] = rng.random(300) < 1 / (1 + np.exp(0.3 - 0.6 * x))
    return pd.DataFrame({**made, "stage": rng.choice(["I", "II", "III"], 300)})


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    tables = {site: {"patients": patients(seed)} for seed, site in enumerate(("oslo", "pisa", "lyon"))}
    with Federation(tables) as federation:
        yield federation.run(sj.Plan(table="patients", analyses=ASKED))


@pytest.mark.parametrize("name", ASKED)
def test_every_site_contributes_and_the_record_replays_it(results: Results, name: str) -> None:
    assert set(results[name].sites.values()) == {"contributed"}, results[name].sites
    assert not results[name].table.isna().to_numpy().any()
    assert results.trusted


def test_answers_are_near_what_made_the_rows(results: Results) -> None:
    assert results["mixed"].table.loc["x", "estimate"] == pytest.approx(1, abs=0.15)
    assert results["counts"].table.loc["x", "estimate"] == pytest.approx(0.3, abs=0.1)
    profile = results["profile"].table.loc["x"]
    assert profile["ci_low"] < 0.6 < profile["ci_high"] and results["profile"].rounds <= 48
    assert 0 <= results["table"].facts["fisher"]["p"] <= 1

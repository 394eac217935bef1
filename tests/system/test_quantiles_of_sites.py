"""Quantiles through the whole way: hub, nodes, sandbox, gate and ledger, under the product's own rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.analysis.variable import Kind, Variable
from sojourn.testbed import Federation

SIZES = {"amber": 400, "birch": 300, "coral": 25}


def frame(size: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    ages = np.clip(np.round(draw.normal(60, 9, size)), 30, 90)
    return pd.DataFrame({"age": ages, "sex": draw.choice(["F", "M"], size), "rare": draw.random(size) < 0.1})


FRAMES = {site: frame(size, seed) for seed, (site, size) in enumerate(SIZES.items())}
BIG = [FRAMES[site] for site in ("amber", "birch")]


def bounded(dictionary):
    return replace(dictionary, columns={**dictionary.columns, "age": Variable(Kind.NUMBER, low=0, high=120)})


@pytest.fixture(scope="module")
def federation():
    sites = {site: {"patients": rows} for site, rows in FRAMES.items()}
    with Federation(sites, review=bounded) as federation:
        yield federation


def run(federation, sites, where="", **asked):
    words = {"table": "patients", "purpose": "HMB", "where": where, "min_sites": 1}
    plan = sj.Plan(**words, analyses={"q": sj.quantiles("age", **asked)})
    return federation.project().submit(plan, sites).wait(timeout=60)["q"]


def test_median_and_quartiles_of_two_sites_are_those_of_the_pooled_rows(federation):
    result = run(federation, ["amber", "birch"], precision=1)
    pooled = pd.concat(BIG)["age"]
    for (_, q), row in result.table.iterrows():
        assert row["low"] <= pooled.quantile(q) <= row["high"]
        assert row["high"] - row["low"] <= 1
    assert result.table.loc[("age", 0.5), "value"] == pooled.median()
    assert set(result.table["n"]) == {700}
    (ends,) = result.facts["extremes"]
    assert pooled.min() < ends["low"] < pooled.median() < ends["high"] < pooled.max()
    assert min((rows["age"] <= ends["low"]).sum() for rows in BIG) >= 10  # at each site by itself
    assert min((rows["age"] >= ends["high"]).sum() for rows in BIG) >= 10
    assert result.sites == {"amber": "contributed", "birch": "contributed"}


def test_what_is_told_again_under_another_condition_is_in_the_ledger(federation):
    oldest = max(BIG[0]["age"])
    assert 0 < (BIG[0]["age"] >= oldest).sum() < 10
    with pytest.raises(sj.errors.DisclosureRefused):
        run(federation, ["amber"], where=f"age < {oldest}", precision=1).table  # noqa: B018


def test_a_small_site_has_a_median_and_no_quartiles(federation):
    table = run(federation, ["coral"], precision=1).table
    lower, median, upper = table.to_dict("records")
    assert lower["value"] == upper["value"] == Suppressed()
    found = FRAMES["coral"]["age"].median()
    assert median["low"] <= found <= median["high"]


def test_groups_after_the_whole_are_coarser_and_tell_of_no_few_persons(federation):
    assert run(federation, ["amber"], precision=1).exactness
    result = run(federation, ["amber"], by="sex", precision=1)
    table = result.table
    widths = (table["high"] - table["low"]).astype(float)
    assert widths.max() > 1
    for (_, sex, q), row in table.iterrows():
        group = FRAMES["amber"]["sex"] == sex
        assert row["low"] <= FRAMES["amber"]["age"][group].quantile(q) <= row["high"]


def test_a_group_of_few_persons_is_hidden_whole(federation):
    small = run(federation, ["coral"], by="rare", q=[0.5], precision=1).table
    assert FRAMES["coral"]["rare"].sum() < 10
    assert [isinstance(cell, Suppressed) for cell in small["value"]] == [True, True]

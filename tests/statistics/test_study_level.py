"""Shares, rates, differences and correlations that each site found by itself, combined as studies are."""

import json
import math

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, category, federation, run

from sojourn.analysis.heterogeneity import Studies
from sojourn.analysis.meta_analysis import combine
from sojourn.errors import PlanError
from sojourn.report.record import estimate_from_dict, estimate_to_dict
from sojourn.statistics import effects
from sojourn.statistics.by_site import told_by_sites
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_comparisons import (
    balance,
    correlation,
    direct_standardisation,
    incidence,
    indirect_standardisation,
    mantel_haenszel,
    prevalence,
    t_test,
)
from sojourn.statistics.catalogue_models import firth, glm, glmm, lmm, meta
from sojourn.statistics.effects import AS_IT_IS, back, effects_of

VARIABLES = {
    **dict.fromkeys(("x", "m", "years", "events", "c"), NUMBER),
    "y": BOOLEAN,
    "b": BOOLEAN,
    "k": category("p", "q"),
}
SIZES = {"a": 150, "b": 220, "c": 180, "d": 160}
ASKED = {
    "balance": balance("x", "k", by="b"),
    "correlation": correlation("x", "m"),
    "direct_standardisation": direct_standardisation("events", "years", "k", {"p": 2, "q": 1}, per=100),
    "incidence": incidence("events", "years", by="k", per=100),
    "indirect_standardisation": indirect_standardisation("events", "years", "k", {"p": 0.3, "q": 0.2}),
    "mantel_haenszel": mantel_haenszel("y", "b", ["k", "site"]),
    "prevalence": prevalence("y", by="k"),
    "t_test": t_test("x", "m", by="b"),
}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    x, k, b = rng.normal(size=n), rng.integers(0, 2, n), rng.random(n) < 0.5
    chance = 1 / (1 + np.exp(-0.3 * seed - 0.8 * b - 0.5 * x))
    made = {"x": np.round(x * 1024) / 1024, "m": x + 0.2 * seed + rng.normal(size=n), "years": 1 + rng.random(n)}
    made |= {"events": rng.poisson(0.3 + 0.1 * seed, n).astype(float), "c": np.arange(n) // 4 + 0.0}
    return made | {"y": rng.random(n) < chance, "b": b, "k": np.array(list("pq"))[k]}


@pytest.fixture(scope="module")
def columns():
    return {site: rows(n, seed) for seed, (site, n) in enumerate(SIZES.items())}


@pytest.fixture(scope="module")
def sites(columns):
    return federation(VARIABLES, columns)


def cells(estimate, label):
    row = next(row for row in estimate.rows if ", ".join(map(str, row[: len(estimate.index)])) == label)
    return dict(zip(estimate.columns, row[len(estimate.index) :], strict=True))


def test_every_kind_is_here():
    assert set(ASKED) == set(effects.KINDS)


@pytest.mark.parametrize("kind", ASKED)
def test_each_site_is_told_as_it_would_find_itself_and_combined_by_hand(kind, sites):
    statistic = ASKED[kind]
    found, asks = run(meta(statistic), sites)
    pooled, pooled_asks = run(statistic, sites)
    assert [ask.step for ask in asks] == [ask.step for ask in pooled_asks]
    alone = {one.site: effects_of(kind, run(statistic, [one])[0]) for one in sites}
    assert found.index == pooled.index and [row[: len(found.index)] for row in found.rows] == [
        row[: len(pooled.index)] for row in pooled.rows
    ]
    for label, scale in found.facts["scale"].items():
        own = [alone[site][label] for site in SIZES]
        for site, (value, variance) in zip(SIZES, own, strict=True):
            told = found.facts["by_site"][site][label]
            assert (told["estimate"], told["std_error"] ** 2) == pytest.approx((value, variance), rel=1e-10, abs=1e-12)
        made = combine(
            Studies.of([value for value, _ in own], [variance for _, variance in own]), "REML", "hartung_knapp_adjusted"
        )
        told = cells(found, label)
        assert told["estimate"] == pytest.approx(made.estimate[0], rel=1e-7, abs=1e-9)
        assert told["value"] == pytest.approx(back(scale, told["estimate"]), rel=1e-12)
        assert told["value_low"] == pytest.approx(back(scale, told["ci_low"]), rel=1e-12)
        assert told["sites"] == 4
    assert found.exactness.startswith("approximate: each site's own answer")
    assert estimate_from_dict(json.loads(json.dumps(estimate_to_dict(found)))) == found


@pytest.mark.parametrize("kind", ASKED)
def test_both_are_the_pooled_answer_and_the_combination(kind, sites):
    both, _ = run(meta(ASKED[kind], combine="both"), sites)
    pooled, alone = run(ASKED[kind], sites)[0], run(meta(ASKED[kind]), sites)[0]
    width = len(pooled.index) + len(pooled.columns)
    assert [row[:width] for row in both.rows] == list(pooled.rows)
    for row in pooled.rows:
        label = ", ".join(map(str, row[: len(pooled.index)]))
        one, other = cells(both, label), cells(alone, label)
        assert [one[f"meta_{name}"] for name in ("estimate", "ci_low", "value")] == [
            other[name] for name in ("estimate", "ci_low", "value")
        ]
        assert one["tau2"] == other["tau2"]
    assert pooled.facts.items() <= both.facts.items()
    assert both.exactness == pooled.exactness


def test_known_effects(sites, columns):
    shares, _ = run(meta(prevalence("y")), sites)
    told = (
        shares.facts["by_site"]["b"]["y, "]
        if "y, " in shares.facts["by_site"]["b"]
        else shares.facts["by_site"]["b"]["y"]
    )
    cases, n = columns["b"]["y"].sum(), SIZES["b"]
    assert told["estimate"] == pytest.approx(math.log(cases / (n - cases)), rel=1e-14)
    assert told["std_error"] ** 2 == pytest.approx(1 / cases + 1 / (n - cases), rel=1e-14)
    tested, _ = run(meta(correlation("x", "m")), sites)
    r = np.corrcoef(columns["c"]["x"], columns["c"]["m"])[0, 1]
    own = tested.facts["by_site"]["c"]["x, m"]
    assert (own["estimate"], own["std_error"]) == pytest.approx((np.arctanh(r), 1 / np.sqrt(SIZES["c"] - 3)), rel=1e-12)


def test_means_far_from_zero_and_apart_by_site_lose_nothing(columns):
    """The squares left about the pooled mean; a site's own are about its own."""
    near, _ = run(meta(t_test("x", by="b")), federation(VARIABLES, columns))
    far = {site: {**own, "x": own["x"] + 1e9 + 1000 * place} for place, (site, own) in enumerate(columns.items())}
    moved, _ = run(meta(t_test("x", by="b")), federation(VARIABLES, far))
    for site in SIZES:
        one, other = (found.facts["by_site"][site]["x"] for found in (near, moved))
        assert [other[name] for name in ("estimate", "std_error")] == pytest.approx(
            [one[name] for name in ("estimate", "std_error")], rel=1e-8
        )


def test_a_site_that_hides_a_cell_or_has_no_events_is_left_out_and_named(columns):
    quiet = {**columns, "d": {**columns["d"], "events": np.zeros(SIZES["d"])}}
    found, _ = run(meta(incidence("events", "years", by="k")), federation(VARIABLES, quiet))
    assert found.facts["by_site"]["d"] == {}
    assert any(warning.startswith("d has no effect of its own") for warning in found.warnings)
    found, _ = run(meta(prevalence("y", by="k")), federation(VARIABLES, columns), hide={"a": {"group_count.y": [0, 1]}})
    assert set(found.facts["by_site"]["a"]) == {"y, all", "y, q"}
    assert cells(found, "y, p")["sites"] == 3
    assert any("y, p" in warning for warning in found.warnings)
    found, _ = run(meta(t_test("x", by="b")), federation(VARIABLES, columns), hide={"a": {"group_squares.x": [1]}})
    assert found.facts["by_site"]["a"] == {}


@pytest.mark.parametrize(
    "model", [firth("y ~ x + k"), lmm("m ~ x + k", "c"), glmm("y ~ x", "c"), glm("y ~ x", "binomial")]
)
def test_models_are_fitted_by_each_site_and_combined(model, sites):
    found, asks = run(meta(model, combine="both"), sites)
    pooled, _ = run(model, sites)
    assert asks[0].step == "own fit"
    assert [row[: len(pooled.columns) + 1] for row in found.rows] == list(pooled.rows)
    for one in sites:
        alone = run(model, [one])[0]
        for row in alone.rows:
            told = found.facts["by_site"][one.site][row[0]]
            assert (told["estimate"], told["std_error"]) == pytest.approx((row[1], row[2]), rel=1e-9)


def test_what_each_site_told_is_what_is_drawn_and_doubted(sites):
    statistic = meta(prevalence("y", by="k"), combine="both", moderators={"z": dict.fromkeys(SIZES, 1.0) | {"a": 0.0}})
    variables = sites[0].variables
    found, asks = run(statistic, sites)
    parts = {one.site: statistic.local("count", one, {}) for one in sites}
    told = told_by_sites(statistic, variables, [(asks[0], parts)], found)
    assert told == {"fits": found.facts["by_site"], "how": "own fit"}
    assert "regression" in found.facts["meta"]["y, all"]


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        ("prevalence", {"columns": ["y"], "meta": {"method": "DL"}}, "f.prevalence.meta"),
        ("prevalence", {"columns": ["y"], "combine": "sum"}, "f.prevalence.combine"),
        ("anova", {"columns": ["x"], "by": "b", "combine": "meta"}, "f.anova"),
        ("elastic_net", {"formula": "y ~ x", "combine": "meta"}, "f.elastic_net"),
    ],
)
def test_errors_name_the_field(kind, arguments, field):
    with pytest.raises(PlanError) as caught:
        make(kind, arguments, "f")
    assert caught.value.field == field and caught.value.remedy


def test_groups_by_site_and_sites_as_clusters_are_not_combined(sites):
    for statistic, field in (
        (meta(prevalence("y", by="site")), "prevalence.by"),
        (meta(lmm("m ~ x", "site")), "lmm.formula"),
    ):
        with pytest.raises(PlanError) as caught:
            run(statistic, sites)
        assert caught.value.field == field


def test_arguments_make_the_same_value_and_no_step_is_summed(sites):
    statistic = meta(t_test("x", by="b"), method="DL", combine="both")
    assert make("t_test", json.loads(json.dumps(statistic.arguments())), "f") == statistic
    assert not any(step.additive for step in statistic.steps(sites[0].variables))
    assert statistic.rules == t_test("x", by="b").rules
    assert AS_IT_IS == "identity"

"""Each site's own fit, combined: against fits and combinations made by hand, and what happens where a site has none."""

import json

import numpy as np
import pytest
import statsmodels.api as sm
from federated import BOOLEAN, NUMBER, category, column, federation, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.heterogeneity import Studies
from sojourn.analysis.meta_analysis import combine
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Gathered
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.report.record import estimate_from_dict, estimate_to_dict
from sojourn.statistics.by_site import told_by_sites
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_counts import count, describe
from sojourn.statistics.catalogue_models import glm, meta, profile_likelihood
from sojourn.statistics.meta import FIT, MetaAnalysis, own_fit
from sojourn.study.question import layout_of

VARIABLES = {"x": NUMBER, "y": NUMBER, "b": BOOLEAN, "c": category("k", "l")}
SIZES = {"a": 150, "b": 220, "c": 180, "d": 160}


def rows(n, seed, slope=0.7):
    rng = np.random.default_rng(seed)
    x, c, b = rng.normal(size=n), rng.integers(0, 2, n), rng.random(n) < 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-slope * x - 0.5 * c + 0.2))).astype(float)
    return {"x": x, "y": y, "b": b, "c": np.array(list("kl"))[c]}


@pytest.fixture(scope="module")
def columns():
    return {site: rows(n, seed, 0.4 + 0.3 * seed) for seed, (site, n) in enumerate(SIZES.items())}


@pytest.fixture(scope="module")
def sites(columns):
    return federation(VARIABLES, columns)


@pytest.mark.parametrize("family", ["binomial", "gaussian"])
def test_the_answer_is_the_combination_of_fits_made_alone(columns, sites, family):
    found, asks = run(glm("y ~ x + C(c)", family, combine="meta"), sites)
    oracle = sm.families.Binomial() if family == "binomial" else sm.families.Gaussian()
    fits = [
        sm.GLM(one["y"], np.stack([np.ones(len(one["x"])), one["x"], one["c"] == "l"], 1), family=oracle).fit(tol=1e-14)
        for one in columns.values()
    ]
    assert [ask.step for ask in asks] == [FIT]
    for place, row in enumerate(found.rows):
        by_hand = combine(
            Studies.of([fit.params[place] for fit in fits], [fit.bse[place] ** 2 for fit in fits]),
            "REML",
            "hartung_knapp_adjusted",
        )
        expected = [by_hand.estimate[0], by_hand.std_error[0], by_hand.ci_low[0], by_hand.prediction_high]
        told = dict(zip(found.columns, row[1:], strict=True))
        assert [told[name] for name in ("estimate", "std_error", "ci_low", "prediction_high")] == pytest.approx(
            expected, rel=1e-6
        )
        for site, fit in zip(SIZES, fits, strict=True):
            own = found.facts["by_site"][site][row[0]]
            assert [own["estimate"], own["std_error"]] == pytest.approx([fit.params[place], fit.bse[place]], rel=1e-7)
    assert found.facts["n_by_site"] == SIZES
    assert found.exactness.startswith("approximate: each site's own fit")
    assert estimate_from_dict(json.loads(json.dumps(estimate_to_dict(found)))) == found


def test_both_are_the_pooled_fit_and_the_meta_analysis_side_by_side(sites):
    both, asks = run(glm("y ~ x + C(c)", "binomial", combine="both"), sites)
    pooled, alone = (run(glm("y ~ x + C(c)", "binomial", combine=how), sites)[0] for how in ("pooled", "meta"))
    assert asks[0].step == FIT
    for name in pooled.columns:
        assert list(column(both, name)) == list(column(pooled, name))
    for name in ("estimate", "std_error", "p_value", "ci_low", "ci_high"):
        assert list(column(both, f"meta_{name}")) == list(column(alone, name))
    assert both.facts["log_likelihood"] == pooled.facts["log_likelihood"]
    assert both.facts["meta"] == alone.facts["meta"]


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(sorted(SIZES)))
def test_the_order_of_sites_changes_nothing(sites, order):
    expected, _ = run(glm("y ~ x", "binomial", combine="meta"), sites)
    by_name = {population.site: population for population in sites}
    found, _ = run(glm("y ~ x", "binomial", combine="meta"), [by_name[site] for site in order])
    assert column(found, "estimate") == pytest.approx(column(expected, "estimate"), rel=1e-9)
    assert column(found, "std_error") == pytest.approx(column(expected, "std_error"), rel=1e-7)


def test_one_site_is_its_own_answer(columns):
    only = federation(VARIABLES, {"a": columns["a"]})
    found, pooled = (run(glm("y ~ x", "binomial", combine=how), only)[0] for how in ("meta", "pooled"))
    assert column(found, "estimate") == pytest.approx(column(pooled, "estimate"), rel=1e-12)
    assert column(found, "std_error") == pytest.approx(column(pooled, "std_error"), rel=1e-9)
    assert [row[found.columns.index("tau2") + 1] for row in found.rows] == [None, None]


def test_a_site_without_a_fit_is_left_out_and_named(columns):
    separated = {**columns["d"], "y": (columns["d"]["x"] > 0).astype(float)}
    constant = {**columns["c"], "b": np.ones(SIZES["c"], dtype=bool)}
    sites = federation(VARIABLES, {**columns, "c": constant, "d": separated})
    found, _ = run(glm("y ~ x + b", "binomial", combine="meta"), sites)
    assert set(found.facts["by_site"]["a"]) == {"Intercept", "x", "b[T.True]"}
    assert (found.facts["by_site"]["c"], found.facts["by_site"]["d"]) == ({}, {})
    assert any("c, d alone" in warning for warning in found.warnings)
    assert found.rows[1][found.columns.index("sites") + 1] == 2
    with pytest.raises(ConvergenceError, match="No site could fit") as caught:
        run(glm("y ~ x + b", "binomial", combine="meta"), federation(VARIABLES, {"d": separated}))
    assert "combine: pooled" in caught.value.remedy


def test_what_a_site_hides_does_not_exist(sites):
    found, _ = run(glm("y ~ x", "binomial", combine="meta"), sites, hide={"a": {"estimate": [1], "n": [0]}})
    assert set(found.facts["by_site"]["a"]) == {"Intercept"}
    assert "n" not in found.facts


def test_a_meta_regression_uses_the_numbers_that_the_plan_states(sites):
    moderators = {"slope": {site: float(place) for place, site in enumerate(SIZES)}}
    found, _ = run(meta(glm("y ~ x", "binomial"), moderators=moderators), sites)
    rows = found.facts["meta"]["x"]["regression"]["rows"]
    assert set(rows) == {"at zero", "slope"}
    assert rows["slope"]["estimate"] == pytest.approx(0.3, abs=0.15)
    roster = {"a": 1.0, "b": 2.0}
    with pytest.raises(PlanError, match="does not name the sites"):
        run(meta(glm("y ~ x", "binomial"), moderators={"slope": roster}), sites)


def test_arguments_are_canonical_and_make_the_same_value():
    model = meta(glm("y ~ x", "binomial"), "DL", "normal", {"b": {"s": 1, "r": 2}, "a": {"s": 1, "r": 0}}, "both")
    document = json.loads(json.dumps(model.arguments()))
    assert make("glm", document) == model
    assert hash(make("glm", document)) == hash(model)
    assert isinstance(model, MetaAnalysis)
    assert glm("y ~ x", combine="pooled") == glm("y ~ x")
    assert meta(glm("y ~ x")) == glm("y ~ x", combine="meta")
    assert glm("y ~ x", combine="meta").arguments() == {"formula": "y ~ x", "combine": "meta"}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"combine": "mean"}, "f.glm.combine"),
        ({"meta": {"method": "DL"}}, "f.glm.meta"),
        ({"combine": "meta", "meta": {"method": "dl"}}, "f.glm.meta.method"),
        ({"combine": "meta", "meta": {"metod": "DL"}}, "f.glm.meta"),
        ({"combine": "meta", "meta": {"moderators": {"a": {"s": "x"}}}}, "f.glm.meta.moderators.a.s"),
        ({"combine": "meta", "meta": {"moderators": {"a": 3}}}, "f.glm.meta.moderators.a"),
        ({"combine": "meta", "meta": {"moderators": {"": {}}}}, "f.glm.meta.moderators"),
    ],
)
def test_errors_name_the_field(arguments, field):
    with pytest.raises(PlanError) as caught:
        make("glm", {"formula": "y ~ x", **arguments}, "f")
    assert caught.value.field == field


def test_a_model_with_site_and_sums_alone_are_refused(sites):
    with pytest.raises(PlanError, match="has no `site`"):
        run(glm("y ~ x + C(site)", combine="both"), sites)
    coordinator = glm("y ~ x", combine="meta").coordinator(sites[0].variables)
    next(coordinator)
    with pytest.raises(DisclosureRefused) as caught:
        coordinator.send(Gathered(Partial({}), {}))
    assert caught.value.family == "by site"


@pytest.mark.parametrize("how", ["meta", "both"])
def test_no_party_of_a_masked_plan_finds_a_form_for_it(sites, how):
    """Hub, nodes and client lay out the joint test alike: a plan that says `masked` all the same gets nothing."""
    assert layout_of(glm("b ~ C(c)", "binomial"), sites[0].variables)
    grid = profile_likelihood("b ~ C(c)", "C(c)[T.l]", -1, 1)
    for asked in (glm("b ~ C(c)", "binomial", combine=how), grid):
        with pytest.raises(DisclosureRefused) as caught:
            layout_of(asked, sites[0].variables)
        assert caught.value.family == "by site"


def test_an_own_fit_is_judged_at_its_own_coefficients():
    """A fit that rests on a few rows says so to the gate, which its design alone does not show."""
    rng = np.random.default_rng(5)
    x = np.concatenate([np.full(300, -8.0), rng.normal(size=30)])
    one = {"x": x, "y": np.concatenate([np.zeros(300), (rng.random(30) < 0.5)]), "b": x > 0, "c": ["k"] * 330}
    one["y"][0] = 1.0
    [site] = federation(VARIABLES, {"a": one})
    model = glm("y ~ x", "binomial", combine="meta")
    working = model.working(FIT, site, {})
    assert working is not None
    assert working.effective < 60 < model.support(site).design.persons


def test_a_fit_that_nobody_can_judge_is_none(sites, monkeypatch):
    model = glm("y ~ x", "binomial")
    assert own_fit(model, sites[0])[0]["exists"].all()
    monkeypatch.setattr(type(model), "working", lambda *_: None)
    assert not any(array.any() for name, array in own_fit(model, sites[0])[0].arrays.items() if name != "n")


def test_what_sites_released_for_a_pooled_fit_leads_to_their_own_estimates(columns, sites):
    def told(family):
        model = glm("y ~ x + C(c)", family)
        estimate, asks = run(model, sites)
        rounds = [
            (ask, {one.site: model.local(ask.step, one, ask.broadcast) for one in sites}) for ask in (asks[0], asks[-1])
        ]
        return told_by_sites(model, sites[0].variables, rounds, estimate)

    own, _ = run(glm("y ~ x + C(c)", "gaussian", combine="meta"), sites)
    linear = told("gaussian")
    assert linear["n"] == SIZES
    assert linear["how"] == "one step"
    for site in SIZES:
        for term, row in own.facts["by_site"][site].items():
            assert linear["fits"][site][term]["estimate"] == pytest.approx(row["estimate"], rel=1e-9)
            assert linear["fits"][site][term]["std_error"] == pytest.approx(row["std_error"], rel=0.2)
    logistic, near = told("binomial"), run(glm("y ~ x + C(c)", "binomial", combine="meta"), sites)[0]
    for site in SIZES:
        for term, row in near.facts["by_site"][site].items():
            assert abs(logistic["fits"][site][term]["estimate"] - row["estimate"]) < 0.7 * row["std_error"]


def test_tables_tell_of_each_site_what_it_released(columns, sites):
    def told(model):
        estimate, asks = run(model, sites)
        rounds = [(ask, {one.site: model.local(ask.step, one, ask.broadcast) for one in sites}) for ask in asks]
        return told_by_sites(model, sites[0].variables, rounds, estimate)

    means = told(describe("x", "y", by="c"))
    for site, own in columns.items():
        assert means["means"][site]["x"]["mean"] == pytest.approx(own["x"].mean(), rel=1e-12)
        assert (means["means"][site]["y"]["n"], means["means"][site]["y"]["missing"]) == (SIZES[site], 0)
    assert means["n"] == SIZES
    counted = told(count(by="c"))["counts"]
    assert {site: sum(cells) for site, cells in counted.items()} == SIZES

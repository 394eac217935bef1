"""Models of columns that lack values: against pooled fits of the same sets, other programs, and the gate's rules."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from federated import BOOLEAN, NUMBER, category, column, federation, run
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.imputation.mice import MICE, MICEData

from sojourn.analysis.imputation import Chain
from sojourn.analysis.rubin import combine
from sojourn.analysis.statistic import most_numbers
from sojourn.disclosure.change import LeaveOut
from sojourn.errors import DisclosureRefused, PlanError
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_counts import describe
from sojourn.statistics.catalogue_models import glm, imputed, indicated
from sojourn.statistics.imputed import Imputed
from sojourn.study.mitigated import mitigated
from sojourn.study.plan import Plan
from sojourn.study.question import layout_of

VARIABLES = {"x": NUMBER, "z": NUMBER, "y": NUMBER, "b": BOOLEAN, "c": category("k", "l")}
SIZES = {"a": 220, "b": 260, "c": 240}
LINEAR, LOGISTIC = glm("y ~ x + z + C(c)"), glm("b ~ x + z", "binomial")


def frame(n: int, seed: int) -> pd.DataFrame:
    """x is lost more often where z is large."""
    rng = np.random.default_rng(seed)
    z, c = rng.normal(size=n), rng.random(n) < 0.5
    x = 1 + 0.6 * z + 0.4 * c + rng.normal(size=n)
    y = 1 + x - 0.5 * z + 0.3 * c + rng.normal(size=n)
    b = rng.random(n) < 1 / (1 + np.exp(-0.7 * x + 0.5))
    x = np.where(rng.random(n) < 1 / (1 + np.exp(0.8 - z)), np.nan, x)
    return pd.DataFrame({"x": x, "z": z, "y": y, "b": b, "c": np.where(c, "l", "k")})


FRAMES = {site: frame(n, seed) for seed, (site, n) in enumerate(SIZES.items())}


def lacking(frames):
    found = []
    for one in federation(VARIABLES, {site: frame.fillna(0.0) for site, frame in frames.items()}):
        gone = np.isnan(frames[one.site]["x"].to_numpy())
        found.append(replace(one, absent={"x": gone} if gone.any() else {}))
    return found


@pytest.fixture(scope="module")
def sites():
    return lacking(FRAMES)


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC])
def test_the_answer_is_rubins_of_the_pooled_fits_of_the_sets(sites, model):
    found, asks = run(imputed(model, "x", m=4), sites)
    sets = [Chain(("x",), model.variables()).completed(one, 4) for one in sites]
    estimates, errors = [], []
    for k in range(4):
        pooled = pd.concat([pd.DataFrame({name: of[k].column(name) for name in VARIABLES}) for of in sets])
        design = np.stack([np.ones(len(pooled)), pooled["x"], pooled["z"], pooled["c"]][: len(found.rows)], 1)
        family = sm.families.Binomial() if model is LOGISTIC else sm.families.Gaussian()
        fit = sm.GLM(pooled["b" if model is LOGISTIC else "y"], design, family=family).fit(tol=1e-14)
        estimates.append(np.asarray(fit.params))
        errors.append(np.asarray(fit.bse))
    oracle = combine(np.array(estimates), np.array(errors), sum(SIZES.values()) - len(found.rows))
    names = ("estimate", "std_error", "df", "missing_information")
    for name, expected in zip(
        names, (oracle.estimate, oracle.std_error, oracle.freedom, oracle.missing_information), strict=True
    ):
        assert column(found, name) == pytest.approx(expected, rel=1e-6)
    assert found.facts["n"] == sum(SIZES.values())
    assert found.facts["m"] == 4
    assert len(asks) == found.facts["rounds_used"] <= model.rounds()
    assert found.exactness.startswith("approximate: 4 imputed sets a site")


def test_auxiliary_columns_help_to_draw_and_stand_in_no_model(sites):
    """y is no column of this model; it tells of x, so that less information is missing."""
    model = glm("b ~ x + z", "binomial")
    helped, plain = imputed(model, "x", m=4, using=["y", "c"]), imputed(model, "x", m=4)
    found, _ = run(helped, sites)
    sets = [Chain(("x",), ("b", "c", "x", "y", "z")).completed(one, 4) for one in sites]
    estimates, errors = [], []
    for k in range(4):
        pooled = pd.concat([pd.DataFrame({name: of[k].column(name) for name in VARIABLES}) for of in sets])
        fit = sm.GLM(pooled["b"], sm.add_constant(pooled[["x", "z"]]), family=sm.families.Binomial()).fit(tol=1e-14)
        estimates.append(np.asarray(fit.params))
        errors.append(np.asarray(fit.bse))
    oracle = combine(np.array(estimates), np.array(errors), sum(SIZES.values()) - 3)
    assert column(found, "estimate") == pytest.approx(oracle.estimate, rel=1e-6)
    assert column(found, "std_error") == pytest.approx(oracle.std_error, rel=1e-6)
    assert [row[0] for row in found.rows] == [row[0] for row in run(plain, sites)[0].rows]
    assert found.facts["using"] == ["c", "y"]
    assert helped.variables() == ("b", "c", "x", "y", "z") == helped.support(sites[0]).measures


def test_the_seed_is_of_auxiliary_columns_too(sites):
    one = sites[0]
    draws = {using: Chain(("x",), tuple(sorted(("b", "x", "z", *using)))) for using in ((), ("y",), ("c", "y"))}
    filled = {using: chain.completed(one, 1)[0].column("x") for using, chain in draws.items()}
    assert len({values.tobytes() for values in filled.values()}) == 3
    other = replace(one, columns={**one.columns, "y": one.columns["y"] + (np.arange(one.rows) == 5)})
    assert (draws["y",].completed(other, 1)[0].column("x") != filled["y",]).any()


def test_the_widest_model_that_draws_has_auxiliary_columns_too(sites):
    model = glm("b ~ x + z", "binomial")
    wide = imputed(model, "x", using=["c", "y"]).support(sites[0]).design
    assert wide.drawn.parameters == imputed(model, "x").support(sites[0]).design.drawn.parameters + 2


@pytest.mark.long
def test_one_site_is_what_another_program_imputes():
    """The same question to statsmodels: other draws, so equal within what both leave to chance."""
    together = pd.concat(FRAMES.values(), ignore_index=True)
    ours, _ = run(imputed(glm("y ~ x + z"), "x", m=20), lacking({"a": together}))
    state = np.random.get_state()
    np.random.seed(3)  # statsmodels draws from the global state
    data = MICEData(together[["x", "z", "y"]], k_pmm=5)
    oracle = MICE("y ~ x + z", sm.OLS, data).fit(n_burnin=2, n_imputations=20)
    np.random.set_state(state)
    error = column(ours, "std_error")
    assert (np.abs(column(ours, "estimate") - oracle.params) < 0.5 * error).all()
    assert error == pytest.approx(oracle.bse, rel=0.15)
    assert (np.abs(column(ours, "missing_information") - oracle.frac_miss_info) < 0.2).all()


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(sorted(SIZES)))
def test_the_order_of_sites_changes_nothing(sites, order):
    expected, _ = run(imputed(LOGISTIC, "x", m=2), sites)
    by_name = {one.site: one for one in sites}
    found, _ = run(imputed(LOGISTIC, "x", m=2), [by_name[site] for site in order])
    assert column(found, "estimate") == pytest.approx(column(expected, "estimate"), rel=1e-9)
    assert column(found, "std_error") == pytest.approx(column(expected, "std_error"), rel=1e-8)


def test_equal_asks_give_equal_bytes(sites):
    asked, ask = imputed(LINEAR, "x"), run(imputed(LINEAR, "x"), sites)[1][1]
    first = asked.local(ask.step, sites[0], ask.broadcast).to_dict()
    copy = replace(sites[0], columns={name: values.copy() for name, values in sites[0].columns.items()})
    assert imputed(LINEAR, "x").local(ask.step, copy, ask.broadcast).to_dict() == first


def test_without_missing_values_it_is_the_model(sites):
    whole = [replace(one, absent={}) for one in sites]
    for model in (LINEAR, LOGISTIC):
        found, plain = run(imputed(model, "x"), whole)[0], run(model, whole)[0]
        assert column(found, "estimate") == pytest.approx(column(plain, "estimate"), rel=1e-12)
        assert column(found, "std_error") == pytest.approx(column(plain, "std_error"), rel=1e-12)
        assert not column(found, "missing_information").any()
        assert not found.warnings


def test_sets_that_need_more_rounds_are_waited_for(sites):
    """A set that has ended asks for nothing, gets nothing and gives zeros."""
    asked = imputed(glm("b ~ x + z", "binomial", robust="HC0"), "x")
    found, asks = run(asked, sites)
    assert asks[-1].step == "meat"
    assert found.facts["rounds_used"] == len(asks) <= asked.rounds()
    last = dict(asks[-1].broadcast)
    last["active"] = np.array([1, 0, 1, 1, 1])
    part = asked.local("meat", sites[0], last)
    assert part["meat_1"].any()
    assert not part["meat_2"].any()
    assert asked.working("meat", sites[0], last) is not None


def test_m_sets_are_m_times_the_numbers(sites):
    variables = sites[0].variables
    assert most_numbers(imputed(LINEAR, "x", m=7), variables, True) == 7 * most_numbers(LINEAR, variables, True)


# ---- disclosure


def test_the_difference_of_two_sets_is_one_persons_row_and_is_refused(sites):
    """The attack that the evidence is about: one person lacks x, so that two sets' sums differ by that person alone."""
    gone = np.zeros(sites[0].rows, dtype=bool)
    gone[17] = True
    one = replace(sites[0], absent={"x": gone})
    asked = imputed(glm("y ~ x + z"), "x", m=20)
    part = asked.local(
        "start", one, {"active": np.ones(20, dtype=int)} | {f"centre_{k}": np.zeros(3) for k in range(1, 21)}
    )
    grams = [part[f"gram_{k}"] for k in range(1, 21)]
    other = next(gram for gram in grams if abs(gram[0, 1] - grams[0][0, 1]) > 0.1)
    apart = other - grams[0]
    assert apart[1, 2] / apart[0, 1] == pytest.approx(one.columns["z"][17], rel=1e-6)  # z of the person, read off
    design = asked.support(one).design
    assert len(design.levels["missing(x)=True"]) == 1
    assert design.effective < 10


def test_missing_is_judged_as_a_factor_of_the_design(sites):
    one = sites[0]
    support = imputed(glm("y ~ x + z + C(c)"), "x").support(one)
    gone, levels = one.absent["x"], support.design.levels
    for place, level in enumerate("kl"):
        expected = set(one.persons[gone & (one.columns["c"] == place)].tolist())
        assert set(levels[f"missing(x)=True & c={level}"]) == expected
    assert support.design.persons == (~gone).sum()
    assert support.design.effective <= gone.sum() / 4
    sums = {f"{word}_{k}" for word in ("sum", "total of the outcome", "sums by c") for k in range(1, 6)}
    assert {name for contributed in support.contributions for name in contributed.output} == sums


def test_every_set_of_an_imputed_factor_is_charged(sites):
    gone = np.arange(sites[0].rows) % 3 == 0
    one = replace(sites[0], absent={"c": gone})
    levels = imputed(LINEAR, "c", m=2).support(one).design.levels
    assert levels["c=k"] != levels["c (set 2)=k"]
    assert {"missing(c)=True & c=k", "missing(c)=True & c (set 2)=k"} <= set(levels)


def test_a_level_that_is_named_like_a_sets_own_hides_nothing(sites):
    """A plan may name levels, also as what a pair of levels is called in another set."""
    rows, named = sites[0].rows, category("u", "u & b (set 2)=True")
    columns = {**sites[0].columns, "a": np.arange(rows, dtype=np.int32) % 2}
    gone = np.arange(rows) % 3 == 0
    one = replace(sites[0], absent={"b": gone}, columns=columns, variables={**sites[0].variables, "a": named})
    asked = imputed(glm("y ~ C(a) + b"), "b", m=2)
    second = asked.model.support(Chain(("b",), asked.variables()).completed(one, 2)[1]).design.levels
    found = {who.serialize() for who in asked.support(one).design.levels.values()}
    assert {second["a=u & b=True"].serialize(), second["a=u & b (set 2)=True"].serialize()} <= found


# ---- indicators


def test_an_indicator_is_a_column_of_its_own(sites):
    found, _ = run(indicated(LINEAR, "x"), sites)
    pooled = pd.concat(FRAMES.values())
    gone = pooled["x"].isna()
    columns = [np.ones(len(pooled)), pooled["x"].fillna(-3.0), pooled["z"], pooled["c"] == "l", gone]
    fit = sm.OLS(pooled["y"], np.stack(columns, 1).astype(float)).fit()
    order = [0, 1, 2, 3]
    assert column(found, "estimate")[order] == pytest.approx(np.asarray(fit.params)[order], rel=1e-9)
    assert column(found, "std_error") == pytest.approx(np.asarray(fit.bse), rel=0.9)
    assert column(found, "std_error")[order] == pytest.approx(np.asarray(fit.bse)[order], rel=1e-8)
    assert found.rows[4][0] == "missing(x)[T.True]"
    assert any("biased" in warning for warning in found.warnings)


def test_an_indicator_is_judged_as_any_dummy(sites):
    support = indicated(LINEAR, "x").support(sites[0])
    gone = sites[0].absent["x"]
    assert len(support.design.levels["missing(x)=True"]) == gone.sum()
    assert "missing(x)" not in support.measures
    whole = indicated(LINEAR, "x").support(replace(sites[0], absent={}))
    assert not whole.constant


def test_a_place_holder_is_no_third_value(sites):
    """x is 0 or 1 or a place-holder: of the three persons who have a 1 the sums tell all."""
    one, gone = sites[0], sites[0].absent["x"]
    x = np.zeros(one.rows)
    x[np.flatnonzero(~gone)[:3]] = 1
    for declared in (NUMBER, replace(NUMBER, low=0, high=1)):  # what stands for it is 1, or 0.5
        coded = replace(one, columns={**one.columns, "x": x}, variables={**one.variables, "x": declared})
        levels = indicated(LINEAR, "x").support(coded).design.levels
        assert len(levels["x=upper"]) == 3
        assert len(levels["missing(x)=True"]) == gone.sum()
    assert "x=upper" not in indicated(LINEAR, "x").support(one).design.levels


# ---- words


def test_arguments_are_canonical_and_make_the_same_value():
    asked = imputed(LINEAR, "x", "c", m=7)
    document = json.loads(json.dumps(asked.arguments()))
    assert document["missing"] == {"method": "impute", "columns": ["c", "x"], "m": 7}
    assert make("glm", document) == asked
    assert hash(make("glm", document)) == hash(asked)
    assert isinstance(asked, Imputed)
    assert not {"m", "using"} & set(imputed(LINEAR, "x").arguments()["missing"])
    helped = imputed(LOGISTIC, "x", using=["y", "c"])
    assert make("glm", json.loads(json.dumps(helped.arguments()))) == helped
    assert helped.arguments()["missing"]["using"] == ["c", "y"]
    both = indicated(LINEAR, "x")
    assert make("glm", json.loads(json.dumps(both.arguments()))) == both


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ({"method": "mean", "columns": ["x"]}, "method"),
        ({"method": "impute"}, ""),
        ({"method": "impute", "columns": []}, "columns"),
        ({"method": "impute", "columns": ["q"]}, "columns"),
        ({"method": "impute", "columns": ["w"]}, "columns"),
        ({"method": "impute", "columns": ["x"], "m": 1}, "m"),
        ({"method": "impute", "columns": ["x"], "m": 2.5}, "m"),
        ({"method": "impute", "columns": ["x"], "seed": 1}, ""),
        ({"method": "indicators", "columns": ["x"], "m": 5}, "m"),
        ({"method": "indicators", "columns": ["x"], "using": ["v"]}, "using"),
        ({"method": "impute", "columns": ["x"], "using": ["z"]}, "using"),
        ({"method": "impute", "columns": ["x"], "using": ["w"]}, "using"),
        ({"method": "impute", "columns": ["x"], "using": ["site"]}, "using"),
        ({"method": "impute", "columns": ["x"], "using": "v"}, "using"),
        ({"method": "indicators", "columns": ["y"]}, "columns"),
        ({"method": "indicators", "columns": ["z"]}, "columns"),
    ],
)
def test_errors_name_the_field(missing, field):
    with pytest.raises(PlanError) as caught:
        make("glm", {"formula": "y ~ x + z:q2", "weights": "w", "missing": missing}, "f")
    assert caught.value.field == f"f.glm.missing{'.' if field else ''}{field}"


def test_what_does_not_go_together_is_refused():
    with pytest.raises(PlanError, match="do not fill"):
        make("glm", {**imputed(LINEAR, "x").arguments(), "combine": "meta"})
    many = {**VARIABLES, "c": category(*map(str, range(21)))}
    with pytest.raises(PlanError, match="no levels that can be drawn") as caught:
        imputed(LOGISTIC, "x", using="c").check(many)
    assert caught.value.field == "glm.missing.using"
    with pytest.raises(PlanError, match="no levels that can be drawn"):
        imputed(glm("y ~ C(c)"), "c").check(many)
    with pytest.raises(PlanError, match="is a column"):
        indicated(LINEAR, "x").check({**VARIABLES, "missing(x)": BOOLEAN})


def test_a_plan_has_one_population():
    with pytest.raises(PlanError, match="needs it complete") as caught:
        Plan(table="t", analyses={"i": imputed(LINEAR, "x"), "d": describe("x")})
    assert caught.value.field == "analyses.d"
    plan = Plan(table="t", analyses={"i": imputed(LINEAR, "x"), "k": indicated(LINEAR, "x"), "d": describe("z")})
    assert plan.incomplete == ("x",)
    assert Plan.from_dict(plan.to_dict()).hash == plan.hash


@pytest.mark.parametrize("wrapped", [imputed, indicated])
def test_a_masked_plan_has_what_it_has_of_the_model(sites, wrapped):
    bounds = {name: replace(NUMBER, low=-20, high=20) for name in "xyz"}
    variables = sites[0].variables | bounds
    assert layout_of(wrapped(LINEAR, "x"), variables).model is not None
    Plan(table="t", analyses={"m": wrapped(LINEAR, "x")}, aggregation="masked").check_supported()
    for unanswerable in (wrapped(glm("y ~ x + z + C(site)"), "x"), wrapped(glm("y ~ x", weights="z"), "x")):
        with pytest.raises(DisclosureRefused):
            layout_of(unanswerable, variables)


def test_an_offer_leaves_the_column_out_with_its_term():
    plan = Plan(table="t", variables=VARIABLES, analyses={"m": imputed(LINEAR, "x", "z")}, purpose="HMB")
    shorter = mitigated(plan, "m", LeaveOut(("x",)))
    assert shorter.analyses["m"] == imputed(glm("y ~ z + C(c)"), "z")
    assert not shorter.where
    assert mitigated(shorter, "m", LeaveOut(("z",))).analyses["m"] == glm("y ~ C(c)")
    helped = plan.replace(analyses={"m": imputed(LINEAR, "x", using="b")})
    assert mitigated(helped, "m", LeaveOut(("z",))).analyses["m"] == imputed(glm("y ~ x + C(c)"), "x", using="b")

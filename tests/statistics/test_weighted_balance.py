"""Standardised differences under weights: against NumPy, at 1e9, over any split; what few weights leave is hidden."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, category, column, federation, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.statistic import Suppressed
from sojourn.disclosure.families.minimum_frequency import MinimumFrequency
from sojourn.disclosure.output import Output
from sojourn.errors import DisclosureRefused, PlanError, SiteRefused
from sojourn.node.evidence import support_from_dict, support_to_dict
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_comparisons import balance
from sojourn.statistics.catalogue_models import meta
from sojourn.study.plan import Plan
from sojourn.study.question import layout_of

VARIABLES = {
    "age": NUMBER,
    "dead": BOOLEAN,
    "stage": category("I", "II", "III"),
    "treated": category("no", "yes"),
    "w": NUMBER,
}
ASKED = balance("age", "dead", "stage", by="treated", weights="w")


def rows(n, seed, base=60.0):
    rng = np.random.default_rng(seed)
    age, treated = rng.normal(base, 9, n), rng.choice(["no", "yes"], n)
    stage, w = np.array(["I", "II", "III"])[rng.integers(0, 3, n)], rng.uniform(1, 4, n)
    return {"age": age, "dead": rng.random(n) < 0.3, "stage": stage, "treated": treated, "w": w}


def sites(base=60.0):
    parts = {"a": rows(80, 1, base), "b": rows(0, 2, base), "c": rows(45, 3, base), "d": rows(120, 4, base)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


def by_definition(pooled, label):
    """cobalt's: weighted means, over the root of the mean of both variances without weights."""
    if label.startswith("stage"):
        pooled = pooled.assign(**{label: (pooled["stage"] == label[6:-1])})
    means, spreads = [], []
    origin = np.longdouble(round(float(pooled[label].mean())))  # so that the oracle keeps its digits
    for level in ("no", "yes"):
        part = pooled[pooled["treated"] == level]
        values = part[label].to_numpy(dtype=np.longdouble) - origin
        w = part["w"].to_numpy(dtype=np.longdouble)
        means.append(((w * values).sum()) / w.sum())
        mean = values.mean()
        spreads.append(
            ((values - mean) ** 2).sum() / (len(values) - 1)
            if label == "age"
            else (mean + origin) * (1 - mean - origin)
        )
    return [
        float(number)
        for number in (means[0] + origin, means[1] + origin, (means[1] - means[0]) / np.sqrt(sum(spreads) / 2))
    ]


@pytest.mark.parametrize("base", [60.0, 1e9])
def test_weighted_means_over_unweighted_deviations_to_twelve_digits(base):
    populations, pooled = sites(base)
    estimate, asks = run(ASKED, populations)
    plain, _ = run(balance("age", "dead", "stage", by="treated"), populations)
    assert estimate.columns[:4] == plain.columns and [row[:5] for row in estimate.rows] == list(plain.rows)
    for row in estimate.rows:
        assert row[5:] == pytest.approx(by_definition(pooled, row[0]), rel=1e-12)
    sizes = [part.sum() ** 2 / (part**2).sum() for part in (pooled["w"][pooled["treated"] == g] for g in ("no", "yes"))]
    assert estimate.facts["effective"] == pytest.approx(sizes, rel=1e-12)
    assert len(asks) == 2


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_split_and_order_of_sites_give_the_same_answer(data):
    n = data.draw(st.integers(5, 70))
    drawn = rows(n, data.draw(st.integers(0, 1000)))
    drawn["w"] *= data.draw(st.sampled_from([0.0, 1.0])) + np.arange(n) % 3  # some, or all of a few, weigh nothing
    places = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    names = data.draw(st.permutations(["x", "y", "z"]))
    parts = {site: {k: v[places == i] for k, v in drawn.items()} for i, site in enumerate(names)}
    whole = run(ASKED, federation(VARIABLES, {"one": drawn}))[0]
    split = run(ASKED, federation(VARIABLES, parts))[0]
    for name in ("weighted_first", "weighted_second", "weighted_smd"):
        if not any(isinstance(row[-1], Suppressed) for row in whole.rows):
            assert column(split, name) == pytest.approx(column(whole, name), rel=1e-9, abs=1e-12, nan_ok=True)


def test_equal_weights_change_nothing():
    populations, _ = sites()
    same = [replace(one, columns={**one.columns, "w": np.full(one.rows, 3.0)}) for one in populations]
    estimate, _ = run(ASKED, same)
    for name in ("first", "second", "smd"):
        assert column(estimate, f"weighted_{name}") == pytest.approx(column(estimate, name), rel=1e-12)


# ---- disclosure


def judged(populations, place=0):
    """What minimum frequency hides of a site's second round."""
    one = populations[place]
    steps = {step.name: step for step in ASKED.steps(one.variables)}
    centre = {"group_centre": np.zeros(steps["squares"].broadcast["group_centre"])}
    partial = ASKED.local("squares", one, centre)
    support = support_from_dict(support_to_dict(ASKED.support(one)))  # as it comes from the worker
    output = Output("balance", steps["squares"], partial, support, one.variables, ASKED.rules)
    return MinimumFrequency(10).judge(output).cells


def test_three_persons_with_all_the_weight_are_read_off_a_weighted_mean_and_hidden():
    """100 persons, of whom three weigh a million: the weighted mean is theirs."""
    populations, _ = sites()
    one = populations[3]
    heavy = np.flatnonzero(one.column("treated") == 1)[:3]
    w = one.columns["w"].copy()
    w[heavy] = 1e6
    heaped = [replace(one, columns={**one.columns, "w": w})]
    estimate, _ = run(ASKED, heaped)
    assert estimate.rows[0][6] == pytest.approx(one.columns["age"][heavy].mean(), abs=0.01)
    hidden = judged(heaped)
    for label in ("age", "dead", "stage[I]"):
        assert hidden[f"group_weighted.{label}"].tolist() == [False, True]
    assert not {"group_weighted.age", "group_weighted.dead"} & set(judged(populations, 3))


def test_whoever_has_two_rows_is_one_person_behind_the_weights():
    populations, _ = sites()
    one = populations[3]
    [told] = ASKED.support(one).effective
    twice = replace(one, persons=one.persons // 8)
    [halved] = ASKED.support(twice).effective
    assert (halved.numbers < told.numbers / 2).all()


def test_what_hides_a_mean_hides_the_weighted_one_too():
    populations, _ = sites()
    few = populations[3]
    stage = np.where(np.arange(few.rows) < 3, 0, 1).astype(np.int32)
    hidden = judged([replace(few, columns={**few.columns, "stage": stage})])
    assert hidden["group_weighted.stage[I]"].any()
    ones = replace(few, columns={**few.columns, "w": np.ones(few.rows)})
    assert judged([ones])["group_weighted.age"].all()  # all of a group have one weight, which the sums would tell


def test_of_a_yes_or_no_those_who_say_no_are_judged_too():
    populations, _ = sites()
    support = ASKED.support(populations[3])
    assert sum(one.output == ("group_weighted.dead",) for one in support.contributions) == 2
    assert sum(one.output == ("group_weighted.age",) for one in support.contributions) == 1


def test_what_a_site_hid_is_not_computed_from_what_is_left():
    populations, _ = sites()
    estimate, _ = run(ASKED, populations, hide={"a": {"group_weighted.age": [1]}})
    assert [isinstance(cell, Suppressed) for cell in estimate.rows[0][1:]] == [False] * 4 + [True] * 3
    assert not any(isinstance(cell, Suppressed) for row in estimate.rows[1:] for cell in row)
    assert "`w`" in estimate.warnings[0]
    estimate, _ = run(ASKED, populations, hide={"a": {"group_sum.w": [0]}})
    assert all(isinstance(row[-1], Suppressed) and not isinstance(row[3], Suppressed) for row in estimate.rows)


def test_a_negative_weight_is_no_weight():
    [one, *_] = sites()[0]
    w = one.columns["w"].copy()
    w[3] = -1
    with pytest.raises(SiteRefused) as caught:
        ASKED.support(replace(one, columns={**one.columns, "w": w}))
    assert caught.value.reason == "dictionary"


def test_masked_plans_and_study_level_answers_have_none():
    with pytest.raises(PlanError, match="weights"):
        Plan(table="t", analyses={"b": ASKED}, aggregation="masked").check_supported()
    with pytest.raises(DisclosureRefused) as caught:
        layout_of(ASKED, federation(VARIABLES, {"a": rows(3, 1)})[0].variables)
    assert caught.value.family == "by site"
    with pytest.raises(PlanError, match="without weights"):
        meta(ASKED)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: balance("age", by="treated", weights="dead"), "balance.weights"),
        (lambda: balance("age", by="treated", weights="x"), "balance.weights"),
        (lambda: balance("age", "w", by="treated", weights="w"), "balance.columns"),
    ],
)
def test_errors_name_the_field_and_a_remedy(build, field):
    with pytest.raises(PlanError) as caught:
        build().check(VARIABLES)
    assert caught.value.field == field
    assert caught.value.remedy


def test_arguments_are_canonical():
    assert make("balance", ASKED.arguments()) == ASKED
    assert "weights" not in balance("age", by="treated").arguments()

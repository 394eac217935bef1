"""Trend, Mantel-Haenszel and balance against statsmodels, R and definitions; any split; hidden cells."""

import json

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, REFERENCES, category, column, federation, read_reference, run
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import StratifiedTable, Table

from sojourn.analysis.statistic import Suppressed
from sojourn.errors import PlanError
from sojourn.statistics.catalogue_comparisons import balance, mantel_haenszel, trend

VARIABLES = {
    "age": NUMBER,
    "dead": BOOLEAN,
    "treated": category("no", "yes"),
    "stage": category("I", "II", "III", "IV"),
}
ASKED = (
    trend("dead", by="stage", scores=[0, 1, 3, 4]),
    mantel_haenszel("dead", "treated", "stage"),
    balance("age", "dead", "stage", by="treated"),
)


def rows(n, seed):
    rng = np.random.default_rng(seed)
    stage, treated = rng.integers(0, 3, n), rng.choice(["no", "yes"], n)
    dead = rng.random(n) < 0.15 + 0.15 * stage + 0.1 * (treated == "yes")
    return {"age": rng.normal(60, 9, n), "dead": dead, "treated": treated, "stage": np.array(["I", "II", "III"])[stage]}


def sites():
    lone = {**rows(25, 4), "treated": ["yes"] * 25, "stage": ["II"] * 25}
    twice = {name: np.tile(values, 2) for name, values in rows(20, 5).items()}
    parts = {"a": rows(80, 1), "b": rows(0, 2), "c": lone, "d": twice, "e": rows(120, 3)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


def test_trend_equals_the_linear_by_linear_test_of_statsmodels():
    populations, pooled = sites()
    estimate, _ = run(ASKED[0], populations)
    table = pd.crosstab(pooled["stage"], pooled["dead"]).to_numpy()
    assert [row[:3] for row in estimate.rows[:3]] == [
        (stage, sum(line), line[1]) for stage, line in zip(("I", "II", "III"), table.tolist(), strict=True)
    ]
    assert estimate.rows[3] == ("IV", 0, 0, None)
    found = Table(table, shift_zeros=False).test_ordinal_association(row_scores=np.array([0, 1, 3]))
    n = len(pooled)  # it has n - 1 where Armitage has n
    assert estimate.facts["trend"]["statistic"] == pytest.approx(found.zscore * np.sqrt(n / (n - 1)), rel=1e-11)
    plain = run(trend("dead", by="stage"), populations)[0]
    assert plain.facts["scores"] == [1, 2, 3, 4]


def test_trend_of_one_level_warns():
    one = federation(VARIABLES, {"a": {**rows(30, 1), "stage": ["I"] * 30}})
    estimate, _ = run(ASKED[0], one)
    assert "no trend" in estimate.warnings[0]
    assert "trend" not in estimate.facts


def table_of(part):
    grid = pd.crosstab(part["treated"], part["dead"]).reindex(index=["yes", "no"], columns=[True, False], fill_value=0)
    return grid.to_numpy()


def test_mantel_haenszel_equals_statsmodels():
    populations, pooled = sites()
    estimate, _ = run(ASKED[1], populations)
    tables = [table_of(part) for _, part in pooled.groupby("stage")]
    known = StratifiedTable(tables)
    odds, risk, difference = estimate.rows
    assert odds[1:3] == pytest.approx((known.oddsratio_pooled, known.logodds_pooled_se), rel=1e-12)
    assert odds[3:] == pytest.approx(known.oddsratio_pooled_confint(), rel=1e-12)
    assert risk[1] == pytest.approx(known.riskratio_pooled, rel=1e-12)
    for name, correction in (("cmh", False), ("cmh_corrected", True)):
        expected = known.test_null_odds(correction=correction)
        assert estimate.facts[name] == pytest.approx({"statistic": expected.statistic, "p": expected.pvalue}, rel=1e-11)
    for name, adjust in (("breslow_day", False), ("tarone", True)):
        expected = known.test_equal_odds(adjust=adjust)
        wanted = {"statistic": expected.statistic, "df": 2, "p": expected.pvalue}
        assert estimate.facts[name] == pytest.approx(wanted, rel=1e-9)
    assert (estimate.facts["strata"], estimate.facts["n"]) == (3, len(pooled))
    a, b, c, d = (np.array([t.ravel()[i] for t in tables], dtype=float) for i in range(4))
    n, n1, n0 = a + b + c + d, a + b, c + d
    weight = n1 * n0 / n
    assert difference[1] == pytest.approx(((a / n1 - c / n0) * weight).sum() / weight.sum(), rel=1e-12)


def test_variances_of_one_stratum_are_the_usual_ones():
    """With one stratum Greenland and Robins' variance is the delta method's, and Robins' Woolf's."""
    _, pooled = sites()
    one = federation({**VARIABLES, "all": category("x")}, {"a": {**pooled.to_dict("list"), "all": ["x"] * len(pooled)}})
    odds, risk, difference = run(mantel_haenszel("dead", "treated", "all"), one)[0].rows
    (a, b), (c, d) = table_of(pooled).astype(float)
    assert odds[2] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=1e-12)
    assert risk[2] == pytest.approx(np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)), rel=1e-12)
    assert difference[2] == pytest.approx(np.sqrt(a * b / (a + b) ** 3 + c * d / (c + d) ** 3), rel=0.02)


@pytest.mark.parametrize("strata", ["Dept", "site"])
def test_berkeley_admissions_agree_with_r(strata):
    """R's `mantelhaen.test` of UCBAdmissions; the departments are the sites."""
    reference = json.loads((REFERENCES / "mh_ucb" / "reference.json").read_text())["reference"]["mh_ucb"]
    given = read_reference("mh_ucb")
    levels = {"Admit": ("Rejected", "Admitted"), "Gender": ("Female", "Male"), "Dept": tuple("ABCDEF")}
    parts = {}
    for site, lines in given.items():
        numbers = [int(line["Freq"]) for line in lines]
        parts[site] = {name: np.repeat([line[name] for line in lines], numbers) for name in levels}
    populations = federation({name: category(*of) for name, of in levels.items()}, parts)
    estimate, _ = run(mantel_haenszel("Admit", "Gender", strata), populations)
    assert 1 / estimate.rows[0][1] == pytest.approx(reference["or"], rel=1e-13)
    assert [1 / end for end in estimate.rows[0][:2:-1]] == pytest.approx(reference["ci"], rel=1e-12)
    assert estimate.facts["cmh"]["statistic"] == pytest.approx(reference["nocc"], rel=1e-12)
    assert estimate.facts["cmh_corrected"]["statistic"] == pytest.approx(reference["cc"], rel=1e-12)
    assert estimate.facts["n"] == 4526


def test_strata_that_tell_nothing():
    populations = federation(VARIABLES, {"a": {**rows(40, 1), "treated": ["yes"] * 40}})
    estimate, _ = run(ASKED[1], populations)
    assert [row[1] for row in estimate.rows] == [None] * 3
    assert "No stratum" in estimate.warnings[0]
    apart = {"dead": [True] * 20 + [False] * 20, "treated": ["yes"] * 20 + ["no"] * 20, "stage": ["I", "II"] * 20}
    odds, risk, difference = run(ASKED[1], federation(VARIABLES, {"a": {**rows(40, 1), **apart}}))[0].rows
    assert (odds[1], risk[1], difference[1], difference[2]) == (None, None, 1.0, 0.0)


def test_the_sums_over_small_strata_tell_their_cells():
    """Why the table leaves and is judged, and not sums over strata: four strata of 7 to 17 persons are read off one."""
    sizes = [7, 11, 13, 17]
    secret = [(2, 3), (1, 4), (3, 3), (2, 5)]  # a and d of each
    seen = sum(a * d / n for (a, d), n in zip(secret, sizes, strict=True))
    whole = int(np.prod(sizes))
    found = round((seen % 1) * whole) % whole
    read = [found * pow(whole // n, -1, n) % n for n in sizes]
    assert read == [a * d % n for (a, d), n in zip(secret, sizes, strict=True)]


def test_balance_by_definition():
    populations, pooled = sites()
    estimate, asks = run(ASKED[2], populations)
    assert [row[0] for row in estimate.rows] == ["age", "dead", "stage[I]", "stage[II]", "stage[III]", "stage[IV]"]
    frame = pd.concat([pooled, pd.get_dummies(pooled["stage"]).rename(columns="stage[{}]".format)], axis=1)
    no, yes = (part for _, part in frame.groupby("treated"))
    for row in estimate.rows[:-1]:
        first, second = (part[row[0]].astype(float) for part in (no, yes))
        numeric = row[0] == "age"
        spreads = [s.var() if numeric else s.mean() * (1 - s.mean()) for s in (first, second)]
        smd = (second.mean() - first.mean()) / np.sqrt(sum(spreads) / 2)
        assert row[1:4] == pytest.approx((first.mean(), second.mean(), smd), rel=1e-10)
        assert row[4] == (pytest.approx(spreads[1] / spreads[0], rel=1e-10) if numeric else None)
    assert estimate.rows[-1][1:] == (0.0, 0.0, None, None)
    assert len(asks) == 2
    assert estimate.facts["difference"] == "yes - no"


def test_the_persons_who_have_a_level_and_who_have_not_are_evidence():
    [one] = federation(VARIABLES, {"a": rows(90, 1)})
    cells = balance("stage", by="treated").support(one).cells
    found = [c.counts().tolist() for c in cells if "group_sum.stage[II]" in c.output and "group_n" not in c.output]
    inside = (one.column("stage") == 1) & (one.column("treated") == 0)
    outside = (one.column("stage") != 1) & (one.column("treated") == 0)
    assert [line[0] for line in found] == [int(outside.sum()), int(inside.sum())]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_split_and_order_of_sites_give_the_same_answer(data):
    n = data.draw(st.integers(5, 70))
    drawn = rows(n, data.draw(st.integers(0, 1000)))
    places = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    names = data.draw(st.permutations(["x", "y", "z"]))
    parts = {site: {k: v[places == i] for k, v in drawn.items()} for i, site in enumerate(names)}
    for statistic in ASKED:
        whole = run(statistic, federation(VARIABLES, {"one": drawn}))[0]
        split = run(statistic, federation(VARIABLES, parts))[0]
        for name in whole.columns:
            assert column(split, name) == pytest.approx(column(whole, name), rel=1e-9, abs=1e-12, nan_ok=True)
        assert split.facts == whole.facts


def test_what_a_site_hid_is_not_computed_from_what_is_left():
    populations, _ = sites()
    for statistic in ASKED[:2]:
        estimate, _ = run(statistic, populations, hide={"a": {"count": [0]}})
        assert not {"trend", "cmh"} & set(estimate.facts)
        assert "left" in estimate.warnings[0]
        assert isinstance(estimate.rows[0][-1], Suppressed)
    estimate, _ = run(ASKED[2], populations, hide={"a": {"group_sum.stage[I]": [1]}})
    assert [isinstance(row[3], Suppressed) for row in estimate.rows] == [False, False, True, False, False, False]
    assert "stage" in estimate.warnings[0]
    # Numbers of rows that a rare level took with it: the words blame no column that is fine.
    estimate, _ = run(ASKED[2], populations, hide={"a": {"group_n": [0, 1]}})
    assert all(isinstance(row[3], Suppressed) for row in estimate.rows)
    assert [
        words.startswith("a may not show how many rows each group of treated has") for words in estimate.warnings
    ] == [True]


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: trend("stage", by="treated"), "trend.outcome"),
        (lambda: trend("dead", by="dead"), "trend.by"),
        (lambda: trend("dead", by="stage", scores=[1, 2]), "trend.scores"),
        (lambda: mantel_haenszel("dead", "stage", "treated"), "mantel_haenszel.exposure"),
        (lambda: mantel_haenszel("age", "treated", "stage"), "mantel_haenszel.outcome"),
        (lambda: mantel_haenszel("dead", "treated", ["stage", "x"]), "mantel_haenszel.strata"),
        (lambda: balance("age", by="stage"), "balance.by"),
        (lambda: balance("treated", by="treated"), "balance.columns"),
        (lambda: balance("x", by="treated"), "balance.columns"),
    ],
)
def test_errors_name_the_field_and_a_remedy(build, field):
    with pytest.raises(PlanError) as caught:
        build().check(VARIABLES)
    assert caught.value.field == field
    assert caught.value.remedy

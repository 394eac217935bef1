"""Tables, strata, rates and means against base R, and against metafor for ratios over strata."""

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, category, federation, read_reference, run
from oracle import Answers, ask

from sojourn.analysis.variable import Kind, Variable
from sojourn.statistics.catalogue_comparisons import (
    anova,
    balance,
    correlation,
    direct_standardisation,
    incidence,
    indirect_standardisation,
    mantel_haenszel,
    prevalence,
    t_test,
    trend,
)
from sojourn.statistics.catalogue_counts import crosstab, describe, histogram, quantiles

pytestmark = [pytest.mark.oracle, pytest.mark.long]
CLOSE = {"rel": 1e-11}
BANDS = ("young", "middle", "old")


@pytest.fixture(scope="module")
def heart() -> pd.DataFrame:
    parts = [pd.DataFrame(rows).assign(site=site) for site, rows in read_reference("glm_heart_uci").items()]
    made = pd.concat(parts)
    made = made[(made[["age", "cp", "oldpeak", "num"]] != "").all(axis=1)]
    told = {"age": made["age"].astype(float), "num": made["num"].astype(float), "male": (made["sex"] == "Male") * 1}
    return made[["site", "cp"]].assign(**told, disease=(told["num"] > 0) * 1)


@pytest.fixture(scope="module")
def falls() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    years = np.round(rng.uniform(0.2, 9, 400), 2)
    return pd.DataFrame({"years": years, "falls": rng.poisson(0.2 * years), "band": rng.choice(BANDS, 400)})


@pytest.fixture(scope="module")
def r(heart, falls) -> Answers:
    return ask("tables", heart=heart, falls=falls)


@pytest.fixture(scope="module")
def patients(heart):
    grade = pd.cut(heart["age"], [0, 45, 55, 65, 100], labels=["a", "b", "c", "d"]).astype(str)
    table = heart.assign(grade=grade, few=np.arange(len(heart)) < 28)
    kinds = {
        "age": Variable(Kind.NUMBER, low=20, high=90),
        "num": NUMBER,
        "male": BOOLEAN,
        "disease": BOOLEAN,
        "grade": category(*"abcd"),
    }
    kinds |= {"cp": category(*sorted(set(heart["cp"])))}
    sites = {site: {name: part[name].tolist() for name in kinds} for site, part in table.groupby("site", sort=False)}
    return federation(kinds, sites)


def of(test):
    return [test["statistic"], test["p"]]


def test_strata_of_admissions(r):
    table = r.data["admissions"]
    levels = {"Admit": ("Rejected", "Admitted"), "Gender": ("Male", "Female"), "Dept": tuple("ABCDEF")}
    sites = {name: {k: part[k].tolist() for k in levels} for name, part in table.groupby("Dept")}
    populations = federation({name: category(*of_it) for name, of_it in levels.items()}, sites)
    estimate, _ = run(mantel_haenszel("Admit", "Gender", "site"), populations)
    odds, risk, difference = estimate.rows
    assert [odds[1], odds[3], odds[4]] == pytest.approx(r.of("admissions", "odds"), **CLOSE)
    for row, measure in ((odds, "OR"), (risk, "RR"), (difference, "RD")):
        value, error = r.of(f"admissions {measure}", "estimate")
        assert row[1] == pytest.approx(value if measure == "RD" else np.exp(value), **CLOSE)
        assert row[2] == pytest.approx(error, **CLOSE), measure
    assert of(estimate.facts["cmh"]) == pytest.approx(r.of("admissions FALSE", "test"), **CLOSE)
    assert of(estimate.facts["cmh_corrected"]) == pytest.approx(r.of("admissions TRUE", "test"), **CLOSE)
    homogeneity = [*of(estimate.facts["breslow_day"]), *of(estimate.facts["tarone"])]
    assert homogeneity == pytest.approx(r.of("admissions", "homogeneity"), rel=1e-9)


def test_contingency_tables(r, patients):
    facts = run(crosstab("male", "disease"), patients)[0].facts
    assert of(facts["chi_squared"]) == pytest.approx(r.of("chi squared", "test"), **CLOSE)
    assert of(facts["chi_squared_yates"]) == pytest.approx(r.of("chi squared, corrected", "test"), **CLOSE)
    assert facts["fisher"]["p"] == pytest.approx(r.of("fisher", "p")[0], rel=1e-9)
    pain = run(crosstab("cp", "disease"), patients)[0].facts
    assert of(pain["chi_squared"]) == pytest.approx(r.of("chi squared of pain", "test"), **CLOSE)


def test_fishers_test_of_a_small_table(r, heart):
    few = heart[["male", "disease"]][:28].to_dict("list")
    facts = run(crosstab("male", "disease"), federation({"male": BOOLEAN, "disease": BOOLEAN}, {"a": few}))[0].facts
    assert facts["fisher"]["p"] == pytest.approx(r.of("fisher of few", "p")[0], **CLOSE)


def test_trends(r, patients):
    for asked, case in (
        (trend("disease", "grade"), "trend"),
        (trend("disease", "grade", (1, 2, 4, 7)), "trend of scores"),
    ):
        found, (squared, p) = run(asked, patients)[0].facts["trend"], r.of(case, "test")
        assert [found["statistic"] ** 2, found["p"]] == pytest.approx([squared, p], **CLOSE)


def test_shares(r, patients):
    for interval in ("exact", "wilson"):
        row = run(prevalence("disease", interval=interval), patients)[0].rows[0]
        assert row[-2:] == pytest.approx(r.of("share", interval), **CLOSE)


@pytest.mark.parametrize(("word", "equal"), [("equal", "TRUE"), ("unequal", "FALSE")])
def test_means(r, patients, word, equal):
    estimate, _ = run(t_test("age", by="male", variance=word), patients)
    told = dict(zip(estimate.columns, estimate.rows[0][1:], strict=True))
    found = [told[name] for name in ("statistic", "df", "p_value", "ci_low", "ci_high")]
    assert found == pytest.approx(r.of(f"t {equal}", "test"), **CLOSE)
    estimate, _ = run(anova("age", by="cp", variance=word), patients)
    told = dict(zip(estimate.columns, estimate.rows[0][1:], strict=True))
    found = [told[name] for name in ("statistic", "df_within", "p_value")]
    assert found == pytest.approx(r.of(f"anova {equal}", "test"), **CLOSE)


def test_correlation_moments_and_balance(r, patients):
    estimate, _ = run(correlation("age", "num"), patients)
    told = dict(zip(estimate.columns, estimate.rows[0][-len(estimate.columns) :], strict=True))
    found = [told[name] for name in ("estimate", "statistic", "p_value", "ci_low", "ci_high")]
    assert found == pytest.approx(r.of("correlation", "test"), **CLOSE)
    estimate, _ = run(describe("age"), patients)
    told = dict(zip(estimate.columns, estimate.rows[0][-len(estimate.columns) :], strict=True))
    assert [told["mean"], told["sd"]] == pytest.approx(r.of("describe", "age"), **CLOSE)
    row = run(balance("age", by="male"), patients)[0].rows[0]
    assert row[3:5] == pytest.approx(r.of("balance", "age"), **CLOSE)


def test_quantiles_and_histogram(r, patients):
    estimate, _ = run(quantiles("age", q=(0.05, 0.25, 0.5, 0.75, 0.95), precision=1), patients)
    place = len(estimate.index) + estimate.columns.index("value")
    assert [row[place] for row in estimate.rows] == pytest.approx(r.of("quantiles", "age"), **CLOSE)
    edges = [float(edge) for edge in range(25, 81, 5)]
    counted = [row[-1] for row in run(histogram("age", edges), patients)[0].rows]
    assert counted == [0, *r.of("histogram", "age"), 0]


def test_rates(r, falls):
    kinds = {"years": NUMBER, "falls": NUMBER, "band": category(*BANDS)}
    sites = {f"s{i}": falls[np.arange(400) % 3 == i].to_dict("list") for i in range(3)}
    populations = federation(kinds, sites)
    asked = {
        ("incidence", "rate"): (incidence("falls", "years"), -3),
        ("indirect", "ratio"): (
            indirect_standardisation("falls", "years", "band", dict(zip(BANDS, (2, 5.5, 21), strict=True)), per=100),
            -3,
        ),
        ("direct", "rate"): (
            direct_standardisation("falls", "years", "band", dict(zip(BANDS, (500, 300, 200), strict=True))),
            -4,
        ),
    }
    for (case, quantity), (statistic, start) in asked.items():
        assert run(statistic, populations)[0].rows[0][start:] == pytest.approx(r.of(case, quantity), rel=1e-10), case

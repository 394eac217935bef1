"""Tables, strata, rates and means against base R, and against metafor for ratios over strata."""

import numpy as np
import oracle_data
import pytest
from federated import BOOLEAN, federation, run
from oracle import Answers, ask

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


@pytest.fixture(scope="module")
def r() -> Answers:
    return ask("tables", heart=oracle_data.heart(), falls=oracle_data.falls())


@pytest.fixture(scope="module")
def patients():
    return oracle_data.patients()


def of(test):
    return [test["statistic"], test["p"]]


def test_strata_of_admissions(r):
    populations = oracle_data.admissions(r.data["admissions"])
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


def test_fishers_test_of_a_small_table(r):
    few = oracle_data.heart()[["male", "disease"]][:28].to_dict("list")
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
    row = run(balance("age", by="male", weights="w"), oracle_data.weighted(patients))[0].rows[0]
    assert row[5:] == pytest.approx(r.of("weighted balance", "age"), **CLOSE)


def test_quantiles_and_histogram(r, patients):
    estimate, _ = run(quantiles("age", q=(0.05, 0.25, 0.5, 0.75, 0.95), precision=1), patients)
    place = len(estimate.index) + estimate.columns.index("value")
    assert [row[place] for row in estimate.rows] == pytest.approx(r.of("quantiles", "age"), **CLOSE)
    edges = [float(edge) for edge in range(25, 81, 5)]
    counted = [row[-1] for row in run(histogram("age", edges), patients)[0].rows]
    assert counted == [0, *r.of("histogram", "age"), 0]


def test_rates(r):
    populations = oracle_data.watched()
    asked = {
        ("incidence", "rate"): (incidence("falls", "years"), -3),
        ("indirect", "ratio"): (
            indirect_standardisation(
                "falls", "years", "band", dict(zip(oracle_data.BANDS, (2, 5.5, 21), strict=True)), per=100
            ),
            -3,
        ),
        ("direct", "rate"): (
            direct_standardisation(
                "falls", "years", "band", dict(zip(oracle_data.BANDS, (500, 300, 200), strict=True))
            ),
            -4,
        ),
    }
    for (case, quantity), (statistic, start) in asked.items():
        assert run(statistic, populations)[0].rows[0][start:] == pytest.approx(r.of(case, quantity), rel=1e-10), case

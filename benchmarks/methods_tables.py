"""Statistics that describe and compare, each against R, NumPy or pandas on the pooled rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from comparing import FALLS, HEART, Line, agreeing, cells, column, compared, first, last

import sojourn as sj
from sojourn.analysis.statistic import Estimate
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

import oracle_data  # isort: skip (its folder is on the path after `comparing`)
from federated import NUMBER  # isort: skip
from oracle import Answers  # isort: skip


def of_tables(r: Answers) -> Iterator[Line]:
    """Counts, tables and shares."""
    heart, patients = oracle_data.heart(), oracle_data.patients()
    counted = heart.groupby(["cp", "disease"]).size()
    yield compared(sj.count(["cp", "disease"]), patients, ("distinct persons", HEART, "pandas"), cells, counted)
    told = heart.groupby("cp").size() >= 100
    yield compared(sj.at_least(100, by="cp"), patients, ("yes or no", HEART, "pandas"), cells, told)
    edges = [float(edge) for edge in range(25, 81, 5)]
    bins = [0, *r.of("histogram", "age"), 0]
    yield compared(sj.histogram("age", edges), patients, ("counts", HEART, "R hist"), cells, bins)
    expected = [*r.of("chi squared", "test"), *r.of("fisher", "p")]
    words = ("chi-squared, Fisher", HEART, "R chisq.test, fisher.test")
    yield compared(sj.crosstab("male", "disease"), patients, words, of_two, expected)
    squared, p = r.of("trend", "test")
    words = ("Cochran-Armitage", HEART, "R prop.trend.test")
    yield compared(sj.trend("disease", by="grade"), patients, words, of_trend, (squared, p))
    for interval, test in (("exact", "binom.test"), ("wilson", "prop.test")):
        words = (f"{interval} interval", HEART, f"R {test}")
        asked = sj.prevalence("disease", interval=interval)
        yield compared(asked, patients, words, last(2), r.of("share", interval))
    fractions = (0.05, 0.25, 0.5, 0.75, 0.95)
    words = ("five quantiles, no rules", HEART, "R quantile, type 7")
    asked = sj.quantiles("age", q=fractions, precision=1)
    yield compared(asked, patients, words, lambda e: column(e, "value"), r.of("quantiles", "age"))


def of_two(estimate: Estimate) -> tuple[float, ...]:
    """The tests of a table of four cells."""
    squared = estimate.facts["chi_squared"]
    return squared["statistic"], squared["p"], estimate.facts["fisher"]["p"]


def of_trend(estimate: Estimate) -> tuple[float, float]:
    """Chi-squared, as R has it, and p."""
    tested = estimate.facts["trend"]
    return tested["statistic"] ** 2, tested["p"]


def of_strata(r: Answers) -> Iterator[Line]:
    """Mantel and Haenszel's estimates."""

    def numbers(e: Estimate) -> list[float]:
        tests = [e.facts[name]["statistic"] for name in ("cmh", "cmh_corrected", "breslow_day", "tarone")]
        return [*e.rows[0][1:], e.rows[1][2], *e.rows[2][1:3], *tests]

    homogeneity, odds = r.of("admissions", "homogeneity"), r.of("admissions", "odds")
    errors = [r.of(f"admissions {measure}", "estimate")[1] for measure in ("OR", "RR")]
    difference = r.of("admissions RD", "estimate")
    tests = [r.of("admissions FALSE", "test")[0], r.of("admissions TRUE", "test")[0], homogeneity[0], homogeneity[2]]
    expected = [odds[0], errors[0], *odds[1:], errors[1], *difference, *tests]
    words = (
        "OR, RR, RD; CMH, Breslow-Day, Tarone",
        "admissions to Berkeley, 6 departments",
        "R mantelhaen.test, metafor rma.mh",
    )
    populations = oracle_data.admissions(r.data["admissions"])
    yield compared(sj.mantel_haenszel("Admit", "Gender", "site"), populations, words, numbers, expected)


def of_means(r: Answers) -> Iterator[Line]:
    """Means, their tests, correlation and balance."""
    patients = oracle_data.patients()
    words = ("mean, sd", HEART, "R")
    yield compared(sj.describe("age"), patients, words, first("mean", "sd"), r.of("describe", "age"))
    interval = ("p_value", "ci_low", "ci_high")
    for variance, equal in (("unequal", "FALSE"), ("equal", "TRUE")):
        test, several = ("Welch", "Welch") if variance == "unequal" else ("Student", "Fisher")
        two, more = sj.t_test("age", by="male", variance=variance), sj.anova("age", by="cp", variance=variance)
        numbers, expected = first("statistic", "df", *interval), r.of(f"t {equal}", "test")
        yield compared(two, patients, (test, HEART, "R t.test"), numbers, expected)
        numbers, expected = first("statistic", "df_within", "p_value"), r.of(f"anova {equal}", "test")
        yield compared(more, patients, (several, HEART, "R oneway.test"), numbers, expected)
    numbers, expected = first("estimate", "statistic", *interval), r.of("correlation", "test")
    yield compared(sj.correlation("age", "num"), patients, ("Pearson", HEART, "R cor.test"), numbers, expected)
    words = ("SMD, variance ratio", HEART, "R")
    numbers, expected = first("smd", "variance_ratio"), r.of("balance", "age")
    yield compared(sj.balance("age", by="male"), patients, words, numbers, expected)
    numbers, expected = first("weighted_first", "weighted_second", "weighted_smd"), r.of("weighted balance", "age")
    words = ("weighted means, SMD", HEART, "R weighted.mean")
    yield compared(sj.balance("age", by="male", weights="w"), oracle_data.weighted(patients), words, numbers, expected)
    yield far_from_zero()


def far_from_zero() -> Line:
    """Around 10^9 with unit variance, made so that 10^9 can be taken off exactly."""
    near = np.round(np.random.default_rng(1).normal(size=4000) * 2**20) / 2**20
    parts = {f"s{i}": pd.DataFrame({"far": 1e9 + near[i::4]}) for i in range(4)}
    populations = oracle_data.of_sites({"far": NUMBER}, parts)
    words = ("sd of values near 1e9", "made up, 4 sites", "NumPy, less 1e9")
    return compared(sj.describe("far"), populations, words, lambda e: column(e, "sd"), [near.std(ddof=1)])


def of_rates(r: Answers) -> Iterator[Line]:
    """Rates, and standardised ones."""
    standard, rates = (dict(zip(oracle_data.BANDS, by, strict=True)) for by in ((500, 300, 200), (2, 5.5, 21)))
    watched = oracle_data.watched()
    asked = {
        ("incidence", "rate"): (sj.incidence("falls", "years"), 3, "R poisson.test"),
        ("indirect", "ratio"): (
            sj.indirect_standardisation("falls", "years", "band", rates, per=100),
            3,
            "R poisson.test",
        ),
        ("direct", "rate"): (sj.direct_standardisation("falls", "years", "band", standard), 4, "Fay and Feuer, by R"),
    }
    for (case, quantity), (statistic, count, oracle) in asked.items():
        words = (f"{quantity} and interval", FALLS, oracle)
        yield compared(statistic, watched, words, last(count), r.of(case, quantity))


def linkable(dictionary: Dictionary) -> Dictionary:
    """Its persons have a number that other sites know."""
    return replace(dictionary, linkage="national_id")


def of_persons() -> Line:
    """Persons in common of three sites, through hub and nodes under masks: no site's own part exists."""
    lists = {"Avon": range(400), "Brent": range(250, 700), "Cam": range(600, 1100)}
    named = {site: {"person_id": [f"P{n}" for n in of], "old": [n % 3 == 0 for n in of]} for site, of in lists.items()}
    tables = {site: {"rows": pd.DataFrame(columns)} for site, columns in named.items()}
    agreed = {site: {"rows": [other for other in lists if other != site]} for site in lists}
    plan = sj.Plan(table="rows", analyses={"o": sj.overlap(most=500), "n": sj.count()}, aggregation="auto")
    with Federation(tables, review=linkable, overlaps=agreed) as federation:
        results = federation.run(plan)
    result = results["o"]
    told = [row["persons"] for (one, other), row in result.table.iterrows() if {one, other} != {"Avon", "Cam"}]
    expected = [len(set(lists["Avon"]) & set(lists["Brent"])), len(set(lists["Brent"]) & set(lists["Cam"]))]
    left = results.study.analyses["o"].bytes_left
    words = ("two pairs of three", "made-up lists of 400 to 500 persons, 3 sites, masked", "sets of Python")
    return Line("overlap", *words, agreeing(told, expected), result.rounds, max(left.values()))

"""Statistics that describe and compare: each against another program on the pooled rows, in digits, rounds and bytes.

    python benchmarks/describing.py

Data: UCI heart disease of four hospitals, Berkeley admissions of six departments (both in tests/data/references), and,
for person-time and numbers far from zero, 4,000 made-up rows over four sites. Digits: -log10 of the largest relative
difference of the numbers named; 16 at most. Bytes: of the numbers that left all sites together.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import keep
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.proportion import proportion_confint

import sojourn as sj
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Estimate, Statistic

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "statistics"))

from federated import BOOLEAN, NUMBER, category, federation, run  # noqa: E402

REFERENCES = TESTS / "data" / "references"
BANDS = {"young": 5.0, "middle": 3.0, "old": 2.0}
Pooled = tuple[list[Population], pd.DataFrame]


def texts(case: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each site, as text."""
    return {
        path.stem: list(csv.DictReader(path.open())) for path in sorted((REFERENCES / case / "sites").glob("*.csv"))
    }


def pooled(variables: Mapping[str, Any], sites: Mapping[str, Mapping[str, Any]]) -> Pooled:
    """The populations of all sites, and their rows together."""
    return federation(variables, sites), pd.concat([pd.DataFrame(dict(site)) for site in sites.values()])


def heart() -> Pooled:
    """Age, sex, chest pain and disease, which no hospital lacks."""
    pain = ("typical angina", "atypical angina", "non-anginal", "asymptomatic")
    variables = {"age": NUMBER, "severity": NUMBER, "male": BOOLEAN, "cp": category(*pain), "disease": BOOLEAN}
    sites = {
        site: {
            "age": [float(row["age"]) for row in rows],
            "severity": [float(row["num"]) for row in rows],
            "male": [row["sex"] == "Male" for row in rows],
            "cp": [row["cp"] for row in rows],
            "disease": [float(row["num"]) > 0 for row in rows],
        }
        for site, rows in texts("glm_heart_uci").items()
    }
    return pooled(variables, sites)


def made_up() -> Pooled:
    """Person-time and falls; `far` is around 10^9 with unit variance, made so that 10^9 can be taken off exactly."""
    sites = {}
    for seed, site in enumerate(("a", "b", "c", "d")):
        rng = np.random.default_rng(seed)
        years, near = rng.uniform(0.5, 8, 1000), np.round(rng.normal(size=1000) * 2**20) / 2**20
        columns = {"years": years, "far": 1e9 + near, "falls": rng.poisson(0.3 * years).astype(float)}
        sites[site] = {**columns, "band": rng.choice(list(BANDS), 1000), "treated": rng.random(1000) < 0.5}
    variables = {"years": NUMBER, "far": NUMBER, "falls": NUMBER, "band": category(*BANDS), "treated": BOOLEAN}
    return pooled(variables, sites)


def shown(statistic: Statistic, populations: list[Population]) -> tuple[Estimate, int, int]:
    """The estimate, rounds, and bytes of numbers that left all sites."""
    estimate, asks = run(statistic, populations)
    left = sum(statistic.local(ask.step, one, ask.broadcast).numbers() for ask in asks for one in populations)
    return estimate, len(asks), 8 * left


def digits(found: Sequence[float], expected: Sequence[float]) -> float:
    """Agreeing significant digits of the worst number."""
    apart = np.abs(np.array(found, dtype=float) / np.array(expected, dtype=float) - 1).max()
    return round(float(min(16.0, -np.log10(max(apart, 1e-16)))), 1)


def compared(
    statistic: Statistic, data: Pooled, numbers: Any, expected: Sequence[float], oracle: str
) -> dict[str, Any]:
    """One line of the results; numbers: takes out of an estimate what is compared."""
    estimate, rounds, left = shown(statistic, data[0])
    agreeing = digits(numbers(estimate), expected)
    return {"oracle": oracle, "digits": agreeing, "rounds": rounds, "bytes_left": left}


def of_means(data: Pooled, far: Pooled) -> dict[str, Any]:
    """Tests of means, correlations, and what is far from zero."""
    rows = data[1]
    women, men = (part["age"] for _, part in rows.groupby("male"))
    welch = stats.ttest_ind(men, women, equal_var=False)
    groups = [part["age"].to_numpy() for _, part in rows.groupby("cp")]
    fisher = anova_oneway(groups, use_var="equal")
    r = stats.pearsonr(rows["age"], rows["severity"])
    near = far[1].assign(far=far[1]["far"] - 1e9)
    first, second = (part["far"] for _, part in near.groupby("treated"))
    beside = stats.ttest_ind(second, first, equal_var=False)
    tested, twice = (welch.statistic, welch.df, welch.pvalue), (beside.statistic, beside.df)
    return {
        "t_test": compared(sj.t_test("age", by="male"), data, lambda e: e.rows[0][3:6], tested, "SciPy"),
        "t_test, values near 1e9": compared(
            sj.t_test("far", by="treated"), far, lambda e: e.rows[0][3:5], twice, "SciPy, less 1e9"
        ),
        "anova": compared(
            sj.anova("age", by="cp"), data, lambda e: e.rows[0][1:5:3], (fisher.statistic, fisher.pvalue), "statsmodels"
        ),
        "correlation": compared(
            sj.correlation("age", "severity"), data, lambda e: e.rows[0][3:6:2], (r.statistic, r.pvalue), "SciPy"
        ),
        "balance": compared(
            sj.balance("age", by="male"),
            data,
            lambda e: e.rows[0][3:4],
            [(men.mean() - women.mean()) / np.sqrt((men.var() + women.var()) / 2)],
            "definition, pandas",
        ),
    }


def of_tables(data: Pooled) -> dict[str, Any]:
    """Contingency tables, trend, strata and shares."""
    rows = data[1]
    cells = pd.crosstab(rows["male"], rows["disease"]).to_numpy()
    chi, exact = stats.chi2_contingency(cells, correction=False), stats.fisher_exact(cells)
    strata = StratifiedTable([pd.crosstab(~p["male"], ~p["disease"]).to_numpy() for _, p in rows.groupby("cp")])
    cases, n = int(rows["disease"].sum()), len(rows)
    return {
        "crosstab": compared(
            sj.crosstab("male", "disease"),
            data,
            lambda e: (e.facts["chi_squared"]["statistic"], e.facts["fisher"]["p"]),
            (chi.statistic, exact.pvalue),
            "SciPy",
        ),
        "mantel_haenszel": compared(
            sj.mantel_haenszel("disease", "male", "cp"),
            data,
            lambda e: (*e.rows[0][1:3], e.rows[1][1], e.facts["cmh"]["statistic"], e.facts["breslow_day"]["statistic"]),
            (
                strata.oddsratio_pooled,
                strata.logodds_pooled_se,
                strata.riskratio_pooled,
                strata.test_null_odds(correction=False).statistic,
                strata.test_equal_odds().statistic,
            ),
            "statsmodels",
        ),
        "prevalence": compared(
            sj.prevalence("disease", interval="exact"),
            data,
            lambda e: e.rows[0][3:],
            (cases / n, *proportion_confint(cases, n, method="beta")),
            "statsmodels",
        ),
    }


def admissions() -> dict[str, Any]:
    """Berkeley admissions, each department a site, against R's `mantelhaen.test`."""
    known = json.loads((REFERENCES / "mh_ucb" / "reference.json").read_text())["reference"]["mh_ucb"]
    levels = {"Admit": ("Rejected", "Admitted"), "Gender": ("Female", "Male"), "Dept": tuple("ABCDEF")}
    sites = {
        site: {name: np.repeat([row[name] for row in rows], [int(row["Freq"]) for row in rows]) for name in levels}
        for site, rows in texts("mh_ucb").items()
    }
    data = pooled({name: category(*of) for name, of in levels.items()}, sites)
    return compared(
        sj.mantel_haenszel("Admit", "Gender", "site"),
        data,
        lambda e: (1 / e.rows[0][1], e.facts["cmh"]["statistic"], e.facts["cmh_corrected"]["statistic"]),
        (known["or"], known["nocc"], known["cc"]),
        "R",
    )


def of_rates(data: Pooled) -> dict[str, Any]:
    """Rates and standardised rates."""
    rows = data[1]
    table = rows.groupby("band")[["falls", "years"]].sum().loc[list(BANDS)]
    events, time = rows["falls"].sum(), rows["years"].sum()
    ends = stats.chi2.ppf([0.025, 0.975], [2 * events, 2 * events + 2]) / 2
    share, expected = np.array(list(BANDS.values())) / 10, (rows["band"].map(BANDS) / 10 * rows["years"]).sum()
    rate = (share * table["falls"] / table["years"]).sum()
    tenths = {band: number / 10 for band, number in BANDS.items()}
    return {
        "incidence": compared(
            sj.incidence("falls", "years"), data, lambda e: e.rows[0][2:], (events / time, *(ends / time)), "SciPy"
        ),
        "direct_standardisation": compared(
            sj.direct_standardisation("falls", "years", "band", BANDS),
            data,
            lambda e: e.rows[0][3:4],
            [rate],
            "definition, pandas",
        ),
        "indirect_standardisation": compared(
            sj.indirect_standardisation("falls", "years", "band", tenths),
            data,
            lambda e: e.rows[0][2:],
            (events / expected, *(ends / expected)),
            "SciPy",
        ),
    }


if __name__ == "__main__":
    patients, watched = heart(), made_up()
    of_strata = {"mantel_haenszel, admissions": admissions()}
    keep("describing", {**of_means(patients, watched), **of_tables(patients), **of_strata, **of_rates(watched)})

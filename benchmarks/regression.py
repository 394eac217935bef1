"""Regression: each model against its reference, in digits, rounds and numbers that left; and two against their oracles.

    python benchmarks/regression.py

Digits: of estimates in units of their standard errors (of the lasso in coefficients), -log10 of the largest difference;
16 at most. Seconds: pure local parts and coordinator, four sites one after the other, in one process.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import statsmodels.api as sm
from machine import keep
from sklearn.linear_model import lasso_path

import sojourn as sj
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Estimate, Statistic

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "statistics"))

from federated import BOOLEAN, NUMBER, category, column, federation, run  # noqa: E402

REFERENCES = TESTS / "data" / "references"


def rows(case: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each site, as text."""
    return {
        path.stem: list(csv.DictReader(path.open())) for path in sorted((REFERENCES / case / "sites").glob("*.csv"))
    }


def reference(case: str) -> dict[str, Any]:
    """Its values."""
    found: dict[str, Any] = json.loads((REFERENCES / case / "reference.json").read_text())["reference"][case]
    return found


def numbers(case: str, names: tuple[str, ...]) -> list[Population]:
    """A case whose columns are all numbers."""
    sites = {site: {name: [float(row[name]) for row in found] for name in names} for site, found in rows(case).items()}
    return federation(dict.fromkeys(names, NUMBER), sites)


def birthwt() -> list[Population]:
    """Birth weights, with race as a category."""
    names, race = ("low", "age", "lwt", "smoke", "ht", "ui", "ftv", "bwt"), {"1": "white", "2": "black", "3": "other"}
    sites: dict[str, Mapping[str, Any]] = {}
    for site, found in rows("glm_birthwt").items():
        columns: dict[str, Any] = {name: [float(row[name]) for row in found] for name in names}
        more = {"race": [race[row["race"]] for row in found], "ptd": [int(row["ptl"]) > 0 for row in found]}
        sites[site] = columns | more
    return federation({**dict.fromkeys(names, NUMBER), "race": category(*race.values()), "ptd": BOOLEAN}, sites)


def compared(statistic: Statistic, populations: list[Population], expected: Any, errors: Any) -> dict[str, Any]:
    """Digits, rounds, and the bytes of numbers that left all sites."""
    estimate, asks = run(statistic, populations)
    shift = np.abs(column(estimate, "estimate") - np.array(list(expected))) / np.array(list(errors))
    left = sum(statistic.local(ask.step, one, ask.broadcast).numbers() for ask in asks for one in populations)
    digits = float(min(16.0, -np.log10(max(shift.max(), 1e-16))))
    return {"digits": round(digits, 1), "rounds": len(asks), "bytes_left": 8 * left, "exactness": estimate.exactness}


def references() -> dict[str, Any]:
    """Every model that has values of another program in the repository."""
    longley, sleep = reference("ols_longley"), reference("lmm_sleepstudy")
    births, cancer = reference("glm_birthwt"), reference("ml_breast_cancer")["lasso_logit"]
    names = ("TOTEMP", "GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR")
    found = {
        "linear, NIST Longley": compared(
            sj.glm("TOTEMP ~ " + " + ".join(names[1:])),
            numbers("ols_longley", names),
            longley["coef"].values(),
            longley["sd"],
        )
    }
    formula = "low ~ age + lwt + race + smoke + ptd + ht + ui + ftv"
    models = {
        "logistic": sj.glm(formula, "binomial"),
        "probit": sj.glm("low ~ age + lwt + race + smoke", "binomial", "probit"),
    }
    models |= {"gaussian": sj.glm("bwt ~ age + lwt + race + smoke + ht + ui")}
    for name, model in models.items():
        known = births[name]
        found[f"{name}, R birthwt"] = compared(model, birthwt(), known["coef"].values(), known["se"].values())
    mixed = {"reml": sj.lmm("Reaction ~ Days", "Subject", "Days"), "ri_reml": sj.lmm("Reaction ~ Days", "Subject")}
    mixed |= {
        "ml": sj.lmm("Reaction ~ Days", "Subject", "Days", "ML"),
        "site_ri_reml": sj.lmm("Reaction ~ Days", "site"),
    }
    for name, model in mixed.items():
        known = sleep[name]
        populations = numbers("lmm_sleepstudy", ("Reaction", "Days", "Subject"))
        found[f"mixed {name}, lme4"] = compared(model, populations, known["fixef"].values(), known["se"].values())
    terms = [name for name in rows("ml_breast_cancer")["s1"][0] if name not in ("site", "target")]
    raw = {
        site: np.array([[float(row[n]) for n in terms] for row in f]) for site, f in rows("ml_breast_cancer").items()
    }
    pooled = np.concatenate(list(raw.values()))
    sites = {
        site: dict(zip(terms, ((raw[site] - pooled.mean(0)) / pooled.std(0, ddof=1)).T, strict=True))
        | {"target": [float(row["target"]) for row in f]}
        for site, f in rows("ml_breast_cancer").items()
    }
    lasso = sj.elastic_net("target ~ " + " + ".join(terms), "binomial", lambdas=map(float, cancer), standardise=False)
    expected = [value for line in cancer.values() for value in line.values()]
    populations = federation(dict.fromkeys([*terms, "target"], NUMBER), sites)
    found["logistic lasso, glmnet"] = compared(lasso, populations, expected, np.ones(len(expected)))
    return found


def timed(work: Callable[[], Any]) -> float:
    """The least of three, in seconds."""
    spent = []
    for _ in range(3):
        before = time.perf_counter()
        work()
        spent.append(time.perf_counter() - before)
    return min(spent)


def oracles(n: int = 100_000, p: int = 10) -> dict[str, Any]:
    """A negative binomial model, and a lasso path of 30 lambdas, of n rows and p columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p))
    eta = 0.5 + x[:, :3] @ [0.3, -0.2, 0.1]
    counts, line = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)).astype(float), eta + rng.normal(size=n)
    names = [f"x{i}" for i in range(p)]
    parts = {
        f"s{i}": {**dict(zip(names, x[i::4].T, strict=True)), "c": counts[i::4], "y": line[i::4]} for i in range(4)
    }
    populations = federation(dict.fromkeys([*names, "c", "y"], NUMBER), parts)
    terms = " + ".join(names)

    def ours(statistic: Statistic) -> Callable[[], tuple[Estimate, Any]]:
        return lambda: run(statistic, populations)

    design = np.column_stack([np.ones(n), x])
    centred = x - x.mean(0)
    pairs = {
        "negative binomial": (
            ours(sj.glm(f"c ~ {terms}", "negative_binomial")),
            lambda: sm.NegativeBinomial(counts, design).fit(disp=0, method="newton"),
        ),
        "lasso path": (
            ours(sj.elastic_net(f"y ~ {terms}")),
            lambda: lasso_path(centred, line - line.mean(), n_alphas=30),
        ),
    }
    found = {}
    for name, (first, second) in pairs.items():
        seconds, oracle = timed(first), timed(second)
        found[name] = {"seconds": seconds, "oracle_seconds": oracle, "ratio": seconds / oracle, "rows": n, "columns": p}
    return found


if __name__ == "__main__":
    keep("regression", {"references": references(), "oracles": oracles()})

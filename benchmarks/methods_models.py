"""Models, each against R, NIST or statsmodels on the pooled rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from comparing import BIRTHS, HEART, Line, agreeing, coefficients, column, compared

import sojourn as sj
from sojourn.analysis.imputation import Chain
from sojourn.analysis.population import Population
from sojourn.analysis.rubin import combine
from sojourn.analysis.statistic import Estimate
from sojourn.analysis.variable import Kind
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

import oracle_data  # isort: skip (its folder is on the path after `comparing`)
from federated import BOOLEAN, NUMBER, REFERENCES, category, read_reference  # isort: skip
from oracle import Answers, split  # isort: skip
from test_models import MODELS  # isort: skip
from test_penalised import LAMBDAS  # isort: skip

CHEST_PAIN = ("asymptomatic", "non-anginal", "atypical angina", "typical angina")


def known(case: str) -> dict[str, Any]:
    """A reference's values."""
    found: dict[str, Any] = json.loads((REFERENCES / case / "reference.json").read_text())["reference"][case]
    return found


def of_models(r: Answers) -> Iterator[Line]:
    """Generalised linear models of every family, robust errors, Firth's penalty, profiles."""
    program = {"negative_binomial": "R MASS glm.nb", "gaussian weights": "R lm"}
    for case, (data, model) in MODELS.items():
        table = r.data[data].assign(**{"District": r.data[data]["District"].astype(str)} if data == "insurance" else {})
        words = (case.replace("_", " "), f"{data} (R), 3 sites", program.get(case, "R glm"))
        yield compared(model, split(table), words, coefficients, r.of(case, "estimate"), r.of(case, "std_error"))
    epil = split(r.data["epil"], "subject")
    for robust in ("HC0", "HC1", "cluster"):
        how = {"cluster": "subject"} if robust == "cluster" else {"robust": robust}
        words = (f"{robust} errors", "epil (R), 3 sites", "R sandwich")
        asked = sj.glm("y ~ C(trt) + lage + V4", "poisson", **how)
        yield compared(asked, epil, words, lambda e: column(e, "std_error"), r.of("robust", robust))
    cases = {
        "binomial": (
            "endometrial (R), 3 sites, separated",
            sj.firth("HG ~ NV + PI + EH"),
            split(r.data["endometrial"]),
        ),
        "poisson": ("epil (R), 3 sites", sj.firth("y ~ C(trt) + lage + V4", "poisson"), epil),
    }
    for family, (data, model, populations) in cases.items():
        expected = r.of(f"firth {family}", "estimate"), r.of(f"firth {family}", "std_error")
        yield compared(model, populations, (family, data, "R brglm2"), coefficients, *expected)
    yield from (hearts(), longley(), profiles(r))


def hearts() -> Line:
    """Heart disease in the 854 patients whose columns are complete, of hospitals in three countries."""
    numbers, parts = ("age", "trestbps", "thalch", "oldpeak"), {}
    for site, rows in read_reference("glm_heart_uci").items():
        table = pd.DataFrame(rows)
        table = table[(table[[*numbers, "cp", "exang", "num", "sex"]] != "").all(axis=1)]
        told = {"male": table["sex"] == "Male", "ex": table["exang"] == "True", "disease": table["num"] != "0"}
        parts[site] = table[list(numbers)].astype(float).assign(**told, cp=table["cp"])
    kinds = {**dict.fromkeys(numbers, NUMBER), **dict.fromkeys(("male", "ex", "disease"), BOOLEAN)}
    populations = oracle_data.of_sites({**kinds, "cp": category(*CHEST_PAIN)}, parts)
    asked = sj.glm("disease ~ age + male + cp + trestbps + thalch + ex + oldpeak", "binomial")
    expected = known("glm_heart_uci")["logistic"]
    unit = expected["se"].values()
    words = ("logistic, 10 terms", HEART, "R glm")
    return compared(asked, populations, words, coefficients, expected["coef"].values(), unit)


def longley() -> Line:
    """NIST's certified coefficients."""
    rows, names = read_reference("ols_longley"), ("TOTEMP", "GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR")
    parts = {site: pd.DataFrame(found)[list(names)].astype(float) for site, found in rows.items()}
    certified = known("ols_longley")
    asked, words = sj.glm("TOTEMP ~ " + " + ".join(names[1:])), ("linear", "Longley, 3 sites", "NIST, certified")
    populations = oracle_data.of_sites(dict.fromkeys(names, NUMBER), parts)
    return compared(asked, populations, words, coefficients, certified["coef"].values())


def profiles(r: Answers) -> Line:
    """Each site's profile, whose values are up to tens; their differences are told as they are."""
    births = oracle_data.births()
    populations = oracle_data.of_sites(dict.fromkeys(["low", "lwt", "smoke"], NUMBER), births)
    told = {
        site: np.array(
            [v["log_likelihood"] for (c, q), v in r.numbers.items() if c == "profile" and q.startswith(site)]
        )
        for site in births
    }
    expected = np.concatenate([line - line.max() for line in told.values()])

    def numbers(estimate: Estimate) -> Any:
        return np.concatenate([estimate.facts["profiles"][site] for site in births])

    asked = sj.profile_likelihood("low ~ lwt + smoke", "smoke", -2, 3, points=21)
    words = ("log-likelihoods", BIRTHS, "R glm with offsets")
    return compared(asked, populations, words, numbers, expected, np.ones(len(expected)))


def of_mixed(r: Answers) -> Iterator[Line]:
    """Linear mixed models and penalised quasi-likelihood."""
    sleep, dye = split(r.data["sleepstudy"], "Subject"), split(r.data["dyestuff"], "Batch")
    by_site = dict(iter(oracle_data.hospitals().groupby("site")))
    hospitals = oracle_data.of_sites(dict.fromkeys("xyz", NUMBER), by_site)
    for method in ("REML", "ML"):
        cases = {
            "sleepstudy intercepts": (sj.lmm("Reaction ~ Days", "Subject", method=method), sleep, "3 sites"),
            "sleepstudy slopes": (sj.lmm("Reaction ~ Days", "Subject", "Days", method), sleep, "3 sites"),
            "dyestuff": (sj.lmm("Yield ~ 1", "Batch", method=method), dye, "3 sites"),
            "hospitals": (sj.lmm("y ~ x + z", "site", method=method), hospitals, "made up, 12 sites as clusters"),
        }
        for case, (model, populations, data) in cases.items():
            expected = r.of(f"{case} {method}", "estimate"), r.of(f"{case} {method}", "std_error")
            words = (f"{method}, {case.partition(' ')[2] or 'intercepts'}", f"{case.split()[0]}, {data}", "R lme4")
            yield compared(model, populations, words, coefficients, *expected)
    infections = split(r.data["bacteria"], "ID", trt=("placebo", "drug", "drug+"))
    logistic, counts = "y ~ C(trt) + late", sj.glmm("y ~ C(trt) + lage + V4", "subject", family="poisson")
    quasi = {
        "binomial ML": (sj.glmm(logistic, "ID", method="ML"), infections, "bacteria", "R nlme lme, as MASS glmmPQL"),
        "binomial REML": (sj.glmm(logistic, "ID"), infections, "bacteria", "R, whole matrices"),
        "poisson REML": (counts, split(r.data["epil"], "subject"), "epil", "R, whole matrices"),
    }
    for case, (model, populations, data, oracle) in quasi.items():
        expected = r.of(f"pql {case}", "estimate"), r.of(f"pql {case}", "std_error")
        words = (f"PQL, {case}", f"{data} (R), 3 sites", oracle)
        yield compared(model, populations, words, coefficients, *expected)


def of_penalties(r: Answers) -> Iterator[Line]:
    """The lasso and the elastic net."""
    for data, family in (("houses", "gaussian"), ("births", "binomial")):
        formula = "y ~ " + " + ".join(name for name in r.data[data] if name != "y")
        for alpha in (1, 0.5):
            expected = np.concatenate(
                [r.of(f"{data} {alpha} TRUE", str(place + 1)) for place in range(len(LAMBDAS[data]))]
            )
            model = sj.elastic_net(formula, family, alpha, LAMBDAS[data])
            words = (f"{family}, {'lasso' if alpha == 1 else 'elastic net'}", f"{data} (R), 3 sites", "R glmnet")
            yield compared(model, split(r.data[data]), words, coefficients, expected, np.ones(len(expected)))


def of_studies(r: Answers) -> Iterator[Line]:
    """Each hospital's own fit, combined."""
    model = sj.meta(sj.glm("disease ~ age + oldpeak", "binomial"), interval="hartung_knapp")
    cases = [f"hospitals {term}" for term in ("(Intercept)", "age", "oldpeak")]
    expected = np.concatenate([r.of(case, "estimate") for case in cases])
    errors = np.concatenate([r.of(case, "std_error") for case in cases])
    words = ("REML, Hartung-Knapp", HEART, "R glm, metafor rma")
    yield compared(model, oracle_data.patients(), words, coefficients, expected, errors, "meta")


KINDS = {"age": NUMBER, "chol": NUMBER, "ill": BOOLEAN}
WITHOUT = f"{HEART}; cholesterol missing"


def lacking() -> tuple[dict[str, pd.DataFrame], list[Population]]:
    """Patients of whom a fifth have no cholesterol, or one written as 0, which is none."""
    parts = {}
    for site, rows in read_reference("glm_heart_uci").items():
        table = pd.DataFrame(rows).query("age != '' and num != ''")
        chol = pd.to_numeric(table["chol"], errors="coerce").replace(0, np.nan)
        parts[site] = pd.DataFrame({"age": table["age"].astype(float), "chol": chol, "ill": table["num"] != "0"})
    whole = oracle_data.of_sites(KINDS, {site: part.fillna({"chol": 0.0}) for site, part in parts.items()})
    return parts, [replace(one, absent={"chol": parts[one.site]["chol"].isna().to_numpy()}) for one in whole]


def of_missing() -> Iterator[Line]:
    """Filled in, or told by an indicator."""
    (parts, populations), model = lacking(), sj.glm("ill ~ age + chol", "binomial")
    logit, fits = sm.families.Binomial(), []
    sets = [Chain(("chol",), model.variables()).completed(one, 5) for one in populations]
    for k in range(5):
        rows = pd.concat([pd.DataFrame({name: of[k].numeric(name) for name in KINDS}) for of in sets])
        fits.append(sm.GLM(rows["ill"], sm.add_constant(rows[["age", "chol"]]), family=logit).fit(tol=1e-14))
    n = sum(one.rows for one in populations)
    oracle = combine(np.array([fit.params for fit in fits]), np.array([fit.bse for fit in fits]), n - 3)
    words = ("five sets, Rubin's rules", WITHOUT, "statsmodels on the same sets")
    filled, expected = sj.imputed(model, "chol", m=5), (oracle.estimate, oracle.std_error)
    yield compared(filled, populations, words, coefficients, *expected, "imputed")
    pooled = pd.concat(parts.values())
    gone = pooled["chol"].isna().rename("gone").astype(float)
    design = sm.add_constant(pd.concat([pooled["age"], pooled["chol"].fillna(200.0), gone], axis=1))
    fit = sm.GLM(pooled["ill"].astype(float), design, family=logit).fit(tol=1e-14)
    words = ("indicator", WITHOUT, "statsmodels")
    slopes = fit.params.iloc[1:3], fit.bse.iloc[1:3]  # intercept and indicator take up the constant that stands in
    asked = sj.indicated(model, "chol")
    yield compared(asked, populations, words, lambda e: coefficients(e)[1:3], *slopes, "indicated")
    yield under_masks()


def bounded(dictionary: Dictionary) -> Dictionary:
    """Its numbers are within a range, without which there is no joint test."""
    columns = {
        name: replace(column, low=-20.0, high=20.0) if column.kind is Kind.NUMBER else column
        for name, column in dictionary.columns.items()
    }
    return replace(dictionary, columns=columns)


def under_masks() -> Line:
    """Imputed sets through hub and nodes under masks: no site's own part exists, so the oracle is the clear plan."""
    tables = {}
    for seed, site in enumerate(("Avon", "Brent", "Cam")):
        rng = np.random.default_rng(seed)
        z = rng.uniform(-2, 2, 300)
        x = 1 + 0.6 * z + rng.uniform(-2, 2, 300)
        y = 1 + x - 0.5 * z + rng.normal(size=300)
        tables[site] = {"rows": pd.DataFrame({"x": np.where(rng.random(300) < 0.3, np.nan, x), "z": z, "y": y})}
    asked, found = sj.imputed(sj.glm("y ~ x + z"), "x"), {}
    for aggregation in ("clear", "masked"):
        with Federation(tables, review=bounded) as federation:
            plan = sj.Plan(table="rows", analyses={"i": asked}, aggregation=aggregation)
            found[aggregation] = federation.run(plan)
    clear, masked = (of["i"].table for of in found.values())
    digits = agreeing(masked["estimate"], clear["estimate"], clear["std_error"])
    left = found["masked"].study.analyses["i"].bytes_left
    words = ("five sets, Rubin's rules", "made up, 3 sites of 300, x missing, masked", "the clear plan")
    return Line("imputed", *words, digits, found["masked"]["i"].rounds, max(left.values()))

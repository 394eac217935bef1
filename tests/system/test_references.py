"""The reference cases through the whole way: plan, hub, nodes, gate, client; rules clearly labelled unsafe.

Values: NIST StRD (Longley), R 4.2.2 (birthwt, UCI heart disease), in tests/data/references.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.client.results import Results
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.testbed import Federation

REFERENCES = Path(__file__).parents[1] / "data" / "references"


def case(name: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """A reference's rows by site, and its values."""
    folder = REFERENCES / name
    frames = {path.stem: pd.read_csv(path) for path in sorted((folder / "sites").glob("*.csv"))}
    return frames, json.loads((folder / "reference.json").read_text())["reference"][name]


def run(frames: dict[str, pd.DataFrame], **analyses: Any) -> Results:
    """One plan over all sites with no disclosure control."""
    sites = {name: {"rows": frame} for name, frame in frames.items()}
    with Federation(sites, rules=UnsafeReleaseAll()) as federation:
        results = federation.run(sj.Plan(table="rows", analyses=analyses))
    assert "UnsafeReleaseAll" in results.watermark
    assert results.trusted
    return results


def digits(found: float, expected: float) -> float:
    """Agreeing significant digits."""
    return 17.0 if found == expected else -np.log10(abs(found - expected) / abs(expected))


def test_longley_has_ten_certified_digits() -> None:
    frames, reference = case("ols_longley")
    results = run(frames, model=sj.glm("TOTEMP ~ GNPDEFL + GNP + UNEMP + ARMED + POP + YEAR"))
    table = results["model"].table
    for (name, expected), error in zip(reference["coef"].items(), reference["sd"], strict=True):
        row = table.loc["Intercept" if name == "const" else name]
        assert digits(row["estimate"], expected) >= 10, name
        assert digits(row["std_error"], error) >= 10, name
    assert results["model"].rounds <= 6


@pytest.mark.parametrize(
    ("model", "formula", "family", "link"),
    [
        ("logistic", "low ~ age + lwt + C(race) + smoke + ptd + ht + ui + ftv", "binomial", None),
        ("hosmer", "low ~ age + lwt + C(race) + ftv", "binomial", None),
        ("probit", "low ~ age + lwt + C(race) + smoke", "binomial", "probit"),
        ("gaussian", "bwt ~ age + lwt + C(race) + smoke + ht + ui", "gaussian", None),
    ],
)
def test_birthwt_agrees_with_r(model: str, formula: str, family: str, link: str | None) -> None:
    frames, reference = case("glm_birthwt")
    for site, frame in frames.items():
        frame["race"] = frame["race"].map({1: "1 white", 2: "black", 3: "other"})
        frame["ptd"] = frame["ptl"] > 0
        frames[site] = frame.drop(columns="ptl")  # which is `ptd` for all but two, so no custodian could publish both
    results = run(frames, model=sj.glm(formula, family=family, link=link))
    agrees(results, reference[model], tolerance=1e-9 if model != "probit" else 1e-6)


SPECIAL = {"Intercept": "(Intercept)", "exang[T.True]": "ex", "ptd[T.True]": "I(ptl > 0)TRUE"}


def in_r(term: str) -> str:
    """How R names a term of ours."""
    return SPECIAL.get(term, re.sub(r"C\((\w+)\)\[T\.(.*)\]", r"\1\2", term))


HEART = "disease ~ age + male + C(cp) + trestbps + thalch + exang + oldpeak"


@pytest.mark.parametrize(("model", "formula"), [("logistic", HEART), ("logistic_site_fe", HEART + " + C(site)")])
def test_heart_disease_of_four_hospitals_agrees_with_r(model: str, formula: str) -> None:
    frames, reference = case("glm_heart_uci")
    for frame in frames.values():
        frame["disease"], frame["male"] = frame["num"] > 0, (frame["sex"] == "Male").astype(float)
        frame["exang"] = frame["exang"].astype("boolean")
    results = run(frames, model=sj.glm(formula, family="binomial"))
    assert results["model"].n == 854
    agrees(results, reference[model], tolerance=1e-9)


def agrees(results: Results, reference: dict[str, Any], tolerance: float) -> None:
    """Estimates to `tolerance` standard errors, those to 1e-7 (R stops earlier), log-likelihood to 10 digits."""
    table = results["model"].table
    names = [in_r(str(term)) for term in table.index]
    assert set(names) == set(reference["coef"])
    expected = np.array([reference["coef"][name] for name in names])
    errors = np.array([reference["se"][name] for name in names])
    apart = np.abs(table["estimate"].to_numpy() - expected) / errors
    assert apart.max() <= tolerance
    assert table["std_error"].to_numpy() == pytest.approx(errors, rel=1e-7)
    assert digits(results["model"].facts["log_likelihood"], reference["loglik"]) >= 10
    # With site effects it is seven, the handshake of means among them; methods count rounds without it.
    assert results["model"].rounds - (1 if "C(site)" in str(results["model"].to_dict()) else 0) <= 6
    assert results["model"].exactness == "pooled"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("reml", sj.lmm("Reaction ~ Days", group="Subject", slopes="Days")),
        ("site_ri_reml", sj.lmm("Reaction ~ Days", group="site")),
    ],
)
def test_sleep_deprivation_agrees_with_lme4(name: str, model: Any) -> None:
    frames, reference = case("lmm_sleepstudy")
    result = run(frames, model=model)["model"]
    expected = reference[name]
    shift = (result.table["estimate"].to_numpy() - list(expected["fixef"].values())) / list(expected["se"].values())
    assert np.abs(shift).max() < 1e-6
    assert result.to_dict()["estimate"]["facts"]["log_likelihood"] == pytest.approx(expected["loglik"], rel=1e-9)

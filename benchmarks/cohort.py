"""A cohort as registries have them: skewed ages, rare comorbidities, lognormal laboratory values, missing values.

It is made from a fixed seed and from published orders of size, not from anybody's records.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Vector = NDArray[np.float64]
LARGE = {"North": 25_000, "South": 14_000, "East": 8_000, "West": 3_000}
SMALL = dict.fromkeys(LARGE, 100)
MISSING = {
    "smoking": 0.04,
    "ethnicity": 0.03,
    "education": 0.05,
    "bmi": 0.03,
    "sbp": 0.01,
    "dbp": 0.01,
    "ldl": 0.04,
    "hdl": 0.04,
    "triglycerides": 0.05,
    "creatinine": 0.01,
    "crp": 0.05,
    "hba1c": 0.03,
    "deprivation": 0.005,
}
_WHOLE = ("sbp", "dbp", "los")
_TENTHS = ("bmi", "ldl", "hdl", "triglycerides", "crp", "hba1c")


def cohort(sizes: dict[str, int], seed: int = 2026, complete: bool = False) -> dict[str, pd.DataFrame]:
    """One table a site; sites differ in size, age and who lives there. complete: what is missing is known after all."""
    random = np.random.default_rng(seed)
    return {
        site: _site(random, size, older, diverse, {} if complete else MISSING)
        for (site, size), older, diverse in zip(sizes.items(), (0, 3, -4, 6), (0.3, 0.1, 0.4, 0.05), strict=True)
    }


def _site(random: np.random.Generator, n: int, older: float, diverse: float, missing: dict[str, float]) -> pd.DataFrame:
    age = np.clip(np.round(95 - 77 * random.beta(1.6, 2.2, n) + older), 18, 99)
    female = random.random(n) < 0.52
    ethnicity = random.choice(
        ["white", "asian", "black", "mixed", "other"],
        n,
        p=[1 - diverse, *(diverse * np.array([0.5, 0.3, 0.12, 0.08]))],
    )
    smoking = random.choice(["never", "former", "current"], n, p=[0.55, 0.3, 0.15])
    education = random.choice(["none", "school", "college", "university"], n, p=[0.12, 0.4, 0.28, 0.2])
    deprivation = random.choice(["q1", "q2", "q3", "q4", "q5"], n)
    bmi = np.exp(random.normal(3.28, 0.19, n))
    old = (age - 60) / 10
    heavy = (bmi - 27) / 5

    def has(intercept: float, *parts: Vector) -> NDArray[np.bool_]:
        return np.asarray(random.random(n) < 1 / (1 + np.exp(-(intercept + sum(parts, np.zeros(n))))))

    diabetes = has(-2.3, 0.35 * old, 0.6 * heavy, 0.3 * (ethnicity == "asian"))
    hypertension = has(-0.6, 0.6 * old, 0.4 * heavy, 0.4 * diabetes)
    ckd = has(-3.2, 0.8 * old, 0.7 * diabetes, 0.4 * hypertension)
    copd = has(-3.6, 0.3 * old, 1.2 * (smoking == "current"), 0.6 * (smoking == "former"))
    af = has(-3.8, 0.9 * old)
    heart_failure = has(-4.3, 0.8 * old, 0.8 * hypertension, 0.7 * af)
    cancer = has(-3.2, 0.5 * old)
    dialysis = has(-7.5, 2.0 * ckd)
    dead = has(-4.2, 0.9 * old, 0.5 * diabetes, 0.8 * heart_failure, 0.6 * cancer, 0.5 * (smoking == "current"))
    burden = diabetes + ckd + copd + 1.5 * heart_failure
    table = pd.DataFrame(
        {
            "age": age,
            "sex": np.where(female, "female", "male"),
            "ethnicity": ethnicity,
            "smoking": smoking,
            "education": education,
            "deprivation": deprivation,
            "bmi": bmi,
            "sbp": random.normal(126, 15, n) + 4 * old + 8 * hypertension,
            "dbp": random.normal(77, 10, n) + 4 * hypertension,
            "ldl": np.exp(random.normal(1.1, 0.28, n)),
            "hdl": np.exp(random.normal(0.28 + 0.15 * female, 0.24, n)),
            "triglycerides": np.exp(random.normal(0.4, 0.5, n) + 0.1 * heavy),
            "creatinine": np.round(np.exp(random.normal(4.3 - 0.2 * female, 0.22, n) + 0.5 * ckd)),
            "crp": np.exp(random.normal(0.7, 1.1, n)),
            "hba1c": 5.5 + random.gamma(2, 0.15, n) + diabetes * random.gamma(3, 0.5, n),
            "diabetes": diabetes,
            "hypertension": hypertension,
            "ckd": ckd,
            "copd": copd,
            "af": af,
            "heart_failure": heart_failure,
            "cancer": cancer,
            "dialysis": dialysis,
            "statin": has(-1.5, 0.4 * old, 1.0 * diabetes),
            "metformin": diabetes & (random.random(n) < 0.6),
            "admissions": random.poisson(np.exp(-1.3 + 0.15 * old + 0.35 * burden)).astype(float),
            "los": np.exp(random.normal(1.2, 0.8, n)),
            "dead": dead,
        }
    )
    for name in (*_WHOLE, *_TENTHS):
        digits = 0 if name in _WHOLE else 1
        table[name] = np.maximum(table[name].round(digits), 10.0**-digits)  # the least that the assay reports
    for name, share in missing.items():
        table.loc[random.random(n) < share, name] = None
    return table

"""The check that nobody outside a demonstration can make: the same model on the pooled rows of the sites that released.

It is written apart from the product's statistics: plain iteratively reweighted least squares on the raw columns
(P. McCullagh, J. A. Nelder, Generalized Linear Models, 1989, section 2.5).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from sojourn.demo.federation import HOSPITALS

COLUMNS = ("age", "exang", "oldpeak")
TERMS = ("Intercept", "age", "exang[T.True]", "oldpeak")


@dataclass(frozen=True)
class Coefficient:
    """One term of a model with its standard error."""

    term: str
    estimate: float
    std_error: float


def pooled_fit(sites: Sequence[str]) -> list[Coefficient]:
    """Logistic regression of disease on age, exercise angina and oldpeak: complete rows of these hospitals."""
    rows = [row for site in sites for row in _complete(HOSPITALS[site])]
    x = np.array([[1.0, float(row["age"]), row["exang"] == "true", float(row["oldpeak"])] for row in rows], dtype=float)
    y = np.array([row["disease"] == "true" for row in rows], dtype=float)
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        mean = 1.0 / (1.0 + np.exp(-x @ beta))
        information = (x.T * (mean * (1.0 - mean))) @ x
        step = np.linalg.solve(information, x.T @ (y - mean))
        beta = beta + step
        if np.max(np.abs(step)) < 1e-14:
            break
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return [Coefficient(term, float(b), float(e)) for term, b, e in zip(TERMS, beta, errors, strict=True)]


def _complete(file: str) -> list[dict[str, str]]:
    path = resources.files("sojourn") / "data" / "heart" / file
    with path.open(encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if all(row[name] for name in (*COLUMNS, "disease"))]

"""Ratios: which models have coefficients on a log scale, and their exponential."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sojourn.analysis.statistic import Cell, Estimate

_OWN = ("estimate", "ci_low", "ci_high", "prediction_low", "prediction_high")
_EXPONENTIATED = frozenset({*_OWN, "meta_estimate", "meta_ci_low", "meta_ci_high"})
_DEFAULT_LINKS = {"binomial": "logit", "poisson": "log", "negative_binomial": "log", "gamma": "log"}
_DEFAULT_FAMILIES = {"glm": "gaussian", "firth": "binomial", "glmm": "binomial", "profile_likelihood": "binomial"}
_NAMES = {
    ("binomial", "logit"): "odds ratio",
    ("binomial", "log"): "risk ratio",
    ("poisson", "log"): "rate ratio",
    ("negative_binomial", "log"): "rate ratio",
    ("gamma", "log"): "ratio of means",
    ("gaussian", "log"): "ratio of means",
}


def ratio_name(kind: str, arguments: Mapping[str, Any]) -> str:
    """What the exponential of a coefficient is called, e.g. "odds ratio"; empty where it is no common ratio."""
    if kind == "cox":
        return "hazard ratio"
    if kind not in _DEFAULT_FAMILIES:
        return ""
    family = str(arguments.get("family", _DEFAULT_FAMILIES[kind]))
    link = str(arguments.get("link") or _DEFAULT_LINKS.get(family, ""))
    return _NAMES.get((family, link), "")


def exponentiated(estimate: Estimate) -> Estimate:
    """The estimate and its interval as ratios.

    The standard error stays on the log scale and is renamed `std_error_log`; statistic and p-value do not change.
    """
    start = len(estimate.index)
    chosen = {start + i for i, name in enumerate(estimate.columns) if name in _EXPONENTIATED}
    rows = tuple(tuple(_exp(cell) if i in chosen else cell for i, cell in enumerate(row)) for row in estimate.rows)
    columns = tuple(f"{name}_log" if name.endswith("std_error") else name for name in estimate.columns)
    return replace(estimate, columns=columns, rows=rows)


def _exp(cell: Cell) -> Cell:
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return cell
    return math.exp(cell) if cell < 700 else math.inf  # exp(709.8) is the largest double

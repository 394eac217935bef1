"""What a site's own answer says as effects with variances, on the scales on which studies are combined.

A share is combined as a logit, a rate or ratio as a logarithm, a correlation as Fisher's z, a difference as it is.

Source: M. Borenstein, L. V. Hedges, J. P. T. Higgins, H. R. Rothstein, Introduction to Meta-Analysis, 2009, ch. 4 to 6;
L. V. Hedges, I. Olkin, Statistical Methods for Meta-Analysis, 1985 (standardised differences).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import scipy

from sojourn.analysis.statistic import Cell, Estimate
from sojourn.statistics.side_by_side import label_of

AS_IT_IS, LOG, LOGIT, FISHER = "identity", "log", "logit", "Fisher's z"
Value = tuple[float, float]
Row = Mapping[str, Any]
_FROM_LOG = 700.0  # the exponential of more is no number


def back(scale: str, value: float) -> float:
    """A value of a scale as it is read."""
    if scale == LOG:
        return math.exp(value) if value < _FROM_LOG else math.inf
    if scale == LOGIT:
        return float(scipy.special.expit(value))
    return math.tanh(value) if scale == FISHER else value


def scale_of(kind: str, label: str) -> str:
    """Of a row of a statistic."""
    if kind == "mantel_haenszel":
        return AS_IT_IS if label == "risk difference" else LOG
    return _SCALES[kind]


def effects_of(kind: str, estimate: Estimate) -> dict[str, Value]:
    """The rows of one site's answer that have an effect: label → value and variance on its scale."""
    found = {}
    for row in estimate.rows:
        width = len(estimate.index)
        label, cells = label_of(row, width), dict(zip(estimate.columns, row[width:], strict=True))
        try:
            value, variance = _EFFECTS[kind](label, cells, estimate.facts)
        except (TypeError, ValueError, ZeroDivisionError, KeyError):  # suppressed, absent, or at an end of its range
            continue
        if math.isfinite(value) and math.isfinite(variance) and variance > 0:
            found[label] = (value, variance)
    return found


def _difference(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    return row["estimate"] + 0.0, row["std_error"] ** 2


def _standardised(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    """Of a difference in standard deviations, from the rows of both groups."""
    first, second = facts["rows"]
    return row["smd"] + 0.0, 1 / first + 1 / second + row["smd"] ** 2 / (2 * (first + second))


def _share(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    without = row["n"] - row["cases"]
    return math.log(row["cases"] / without), 1 / row["cases"] + 1 / without


def _rate(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    return math.log(row["rate"]), 1 / row["events"]


def _standardised_rate(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    return math.log(row["rate"]), (row["std_error"] / row["rate"]) ** 2


def _standardised_ratio(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    return math.log(row["ratio"]), 1 / row["events"]


def _over_strata(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    value = row["value"] if scale_of("mantel_haenszel", label) == AS_IT_IS else math.log(row["value"])
    return value, row["std_error"] ** 2


def _correlation(label: str, row: Row, facts: Mapping[str, Any]) -> Value:
    return math.atanh(row["estimate"]), 1 / (row["n"] - 3)


_EFFECTS: Mapping[str, Callable[[str, Row, Mapping[str, Any]], Value]] = MappingProxyType(
    {
        "balance": _standardised,
        "correlation": _correlation,
        "direct_standardisation": _standardised_rate,
        "incidence": _rate,
        "indirect_standardisation": _standardised_ratio,
        "mantel_haenszel": _over_strata,
        "prevalence": _share,
        "t_test": _difference,
    }
)
_SCALES: Mapping[str, str] = MappingProxyType(
    {
        "balance": AS_IT_IS,
        "correlation": FISHER,
        "direct_standardisation": LOG,
        "incidence": LOG,
        "indirect_standardisation": LOG,
        "prevalence": LOGIT,
        "t_test": AS_IT_IS,
    }
)
KINDS = tuple(sorted(_EFFECTS))


def read_back(scale: str, value: Cell) -> Cell:
    """As `back`, of a cell; None where there is none."""
    return back(scale, value) if isinstance(value, float) else None

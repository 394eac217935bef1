"""What each site's releases of a clear plan say of that site: nothing more leaves for it, and masked plans have none.

Of a pooled regression each site has released score and information at the pooled estimate. One Newton step from there
leads to about what the site would have found alone (exactly, for a linear model), so that sites can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.meta_analysis import quantile
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Estimate, Statistic, Suppressed
from sojourn.analysis.variable import Variables
from sojourn.statistics.meta import FIT, MetaAnalysis
from sojourn.statistics.study_level import StudyLevel

Vector = NDArray[np.float64]
Told = tuple[Ask, Mapping[str, Partial]]
ONE_STEP, OWN = "one step", "own fit"
_SUM = "all_sum."
_NEWTON = ("glm",)  # whose score is zero at the answer, in sum


def told_by_sites(
    statistic: Statistic, variables: Variables, rounds: Sequence[Told], estimate: Estimate
) -> dict[str, Any]:
    """By what is told: `fits` ({site: {term: estimate, std_error, ci_low, ci_high}}) and `how` they were found;

    `counts` ({site: cells}), `means` ({site: {column: {n, missing, mean}}}); `n` of each site. What a site suppressed
    is a `Suppressed`. Empty where the sites' parts say nothing that can be compared.
    """
    if not rounds or not rounds[-1][1]:
        return {}
    if isinstance(statistic, MetaAnalysis):
        if rounds[0][0].step == FIT:
            return {"fits": dict(estimate.facts.get("by_site", {})), "how": OWN, **_sizes(rounds[0][1], "n")}
        return {}
    if isinstance(statistic, StudyLevel):
        return {"fits": dict(estimate.facts.get("by_site", {})), "how": OWN}
    first, arrays = rounds[0][1], set(next(iter(rounds[-1][1].values())).arrays)
    if statistic.name in _NEWTON:
        fits = next((_fits(ask, parts, estimate) for ask, parts in reversed(rounds) if _is_newton(ask, parts)), {})
        return {"fits": fits, "how": ONE_STEP, **_sizes(first, "n")} if fits else {}
    parts = rounds[-1][1]
    if "count" in arrays:
        return {"counts": {site: _cells(part, "count") for site, part in sorted(parts.items())}}
    if {"missing", "all_n"} <= set(next(iter(first.values())).arrays):
        return {
            "means": {site: _means(part, statistic) for site, part in sorted(first.items())},
            **_sizes(first, "all_n"),
        }
    return {}


def _is_newton(ask: Ask, parts: Mapping[str, Partial]) -> bool:
    arrays = set(next(iter(parts.values())).arrays)
    return {"score", "information"} <= arrays and {"centre", "coefficients"} <= set(ask.broadcast)


def _fits(ask: Ask, parts: Mapping[str, Partial], estimate: Estimate) -> dict[str, Any]:
    """Each site's coefficients one step from the pooled ones, on the scale of the table."""
    terms = [str(row[0]) for row in estimate.rows]
    centre, at = (np.asarray(ask.broadcast[name], dtype=float) for name in ("centre", "coefficients"))
    if len(terms) != len(at) or any(mask.any() for part in parts.values() for mask in part.suppressed.values()):
        return {}
    if "level" in ask.broadcast:  # what the coefficients leave out of the outcomes
        at = at + np.asarray(ask.broadcast["level"], dtype=float)[0] * (np.arange(len(at)) == 0)
    raw = np.eye(len(at))
    if centre.any():
        raw[0] -= centre
    dispersion = float(estimate.facts.get("dispersion", 1.0))
    found: dict[str, Any] = {}
    for site, part in sorted(parts.items()):
        step = _step(np.asarray(part["score"], dtype=float), np.asarray(part["information"], dtype=float))
        if step is None:
            continue
        values = raw @ (at + step[0])
        errors = np.sqrt(dispersion * np.einsum("ij,jk,ik->i", raw, step[1], raw))
        found[site] = {term: _row(values[i], errors[i]) for i, term in enumerate(terms)}
    return found


def _step(score: Vector, information: Vector) -> tuple[Vector, Vector] | None:
    """A Newton step and the covariance at a site; None where a column does not vary there."""
    diagonal = np.sqrt(np.maximum(np.diag(information), 0.0))
    if not (diagonal > 0).all():
        return None
    try:
        scaled = information / np.outer(diagonal, diagonal)
        if np.linalg.cond(scaled) > 1e11:
            return None
        covariance = np.linalg.inv(scaled) / np.outer(diagonal, diagonal)
    except LinAlgError:
        return None
    return covariance @ score, covariance


def _row(value: float, error: float) -> dict[str, float]:
    width = quantile(None) * float(error)
    return {
        "estimate": float(value),
        "std_error": float(error),
        "ci_low": float(value) - width,
        "ci_high": float(value) + width,
    }


def _cells(part: Partial, name: str) -> list[Any]:
    hidden = part.hidden(name).ravel()
    return [
        Suppressed() if hide else int(value) for value, hide in zip(part[name].ravel().tolist(), hidden, strict=True)
    ]


def _sizes(parts: Mapping[str, Partial], name: str) -> dict[str, Any]:
    return {"n": {site: _cells(part, name)[0] for site, part in sorted(parts.items())}}


def _means(part: Partial, statistic: Statistic) -> dict[str, Any]:
    """Of the overall row, by column."""
    n, missing = _cells(part, "all_n")[0], _cells(part, "missing")
    columns = [name for name in getattr(statistic, "columns", ()) if _SUM + name in part.arrays]
    found = {}
    for place, column in enumerate(columns):
        hidden = part.hidden(_SUM + column).any() or isinstance(n, Suppressed)
        mean = Suppressed() if hidden else float(part[_SUM + column].ravel()[0]) / n if n else None
        found[column] = {"n": n, "missing": missing[place] if len(missing) == len(columns) else None, "mean": mean}
    return found

"""The table of a model of imputed sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from sojourn.analysis.rubin import combine
from sojourn.analysis.statistic import Estimate

COLUMNS = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high", "df", "missing_information")
MOST_SIMULATION = 0.1  # of a standard error, that may be left to chance (White, Royston, Wood 2011)
_MEANT = ("log_likelihood", "deviance", "dispersion", "theta")


def answer(fits: Sequence[Estimate], said: Mapping[str, Any]) -> Estimate:
    """Rubin's rules upon each coefficient of the fits. said: the facts of how the sets were made."""
    first = fits[0]
    places = [len(first.index) + first.columns.index(name) for name in ("estimate", "std_error")]
    numbers = np.array([[[row[place] for row in fit.rows] for place in places] for fit in fits], dtype=float)
    complete = float(first.facts.get("df_residual", math.inf))
    made = combine(numbers[:, 0], numbers[:, 1], complete)
    statistic = made.estimate / made.std_error
    tail = 2 * scipy.special.stdtr(made.freedom, -np.abs(statistic))
    width = made.std_error * scipy.special.stdtrit(made.freedom, 0.975)
    columns = [made.estimate, made.std_error, statistic, tail, made.estimate - width, made.estimate + width]
    table = np.stack([*columns, made.freedom, made.missing_information], axis=1)
    facts: dict[str, Any] = {
        name: first.facts[name] for name in ("n", "df_residual", "clusters") if name in first.facts
    }
    for name in _MEANT:
        if name in first.facts:
            facts[f"mean_{name}"] = float(np.mean([fit.facts[name] for fit in fits]))
    words = f"{said['m']} imputed sets a site (chained equations, seeded by its own rows), combined by Rubin's rules"
    return Estimate(
        first.index,
        COLUMNS,
        tuple((row[0], *line) for row, line in zip(first.rows, table.tolist(), strict=True)),
        {**facts, **said},
        f"approximate: {words}",
        (*_common(fits), *_warnings([str(row[0]) for row in first.rows], made.simulation.tolist(), said)),
    )


def _common(fits: Sequence[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for fit in fits for warning in fit.warnings))


def _warnings(terms: Sequence[str], simulation: Sequence[float], said: Mapping[str, Any]) -> tuple[str, ...]:
    few = [term for term, share in zip(terms, simulation, strict=True) if share > MOST_SIMULATION]
    if not few:
        return ()
    return (
        f"With {said['m']} sets chance may move {', '.join(few[:8])} by more than "
        f"{MOST_SIMULATION:.0%} of its standard error: ask for more sets (`m`).",
    )

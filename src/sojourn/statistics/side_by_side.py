"""The answer of a meta-analysis: a row a coefficient, each site's own estimate, and the pooled fit beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.heterogeneity import FIXED, Studies
from sojourn.analysis.influence import egger, influence
from sojourn.analysis.meta_analysis import NORMAL, Synthesis, combine, leave_one_out, quantile
from sojourn.analysis.statistic import Cell, Estimate
from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
COLUMNS = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high")
BETWEEN = ("prediction_low", "prediction_high", "tau2", "i_squared", "sites")
BESIDE = ("estimate", "std_error", "p_value", "ci_low", "ci_high")
PREFIX = "meta_"
LEAST_EGGER = 10  # sites under which a test of the funnel says nothing (Sterne et al. 2011)
MOST_LEFT_OUT = 2_000  # combinations with a site left out, over all coefficients
_WORDS = {"hartung_knapp": "Hartung-Knapp", "hartung_knapp_adjusted": "adjusted Hartung-Knapp", NORMAL: "normal"}


@dataclass(frozen=True, eq=False)
class OwnFit:
    """What one site gave: rows; its estimates, their variances, and which of them exist there (p each)."""

    n: int | None
    estimate: Vector
    variance: Vector
    exists: NDArray[np.bool_]


def answer(
    terms: Sequence[str],
    fits: Mapping[str, OwnFit],
    pooled: Estimate | None,
    method: str,
    interval: str,
    moderators: Mapping[str, Mapping[str, float]],
) -> Estimate:
    """The table and its facts. ConvergenceError where no site could fit the model by itself."""
    if not any(fit.exists.any() for fit in fits.values()):
        remedy = "Use `combine: pooled`, fewer terms, or merge levels that are rare."
        raise ConvergenceError("No site could fit this model to its own rows.", remedy=remedy)
    values = {
        site: {
            term: (fit.estimate[place], fit.variance[place]) for place, term in enumerate(terms) if fit.exists[place]
        }
        for site, fit in fits.items()
    }
    found, beside = combined(terms, values, method, interval, moderators)
    rows = tuple((term, *row_of(found.get(term))) for term in terms)
    columns = (*COLUMNS, *BETWEEN)
    told = {"combine": "meta", "method": method, "interval": interval} | _sizes(fits)
    if len(fits) > 1:
        exactness = f"approximate: each site's own fit, combined by {in_words(method, interval)}"
    else:
        exactness = "approximate: one site's own fit"
    if pooled is None:
        warnings = _warnings(terms, fits, found, interval, beside=False)
        return Estimate(("term",), columns, rows, told | beside, exactness, warnings)
    rows = tuple((*row, *beside_of(found.get(str(row[0])))) for row in pooled.rows)
    wider = (*pooled.columns, *(PREFIX + name for name in BESIDE), *BETWEEN)
    facts_of_both = {**pooled.facts, **told, "combine": "both", **beside}
    warnings = (*pooled.warnings, *_warnings(terms, fits, found, interval, beside=True))
    return replace(pooled, columns=wider, rows=rows, facts=facts_of_both, warnings=warnings)


def combined(
    terms: Sequence[str],
    values: Mapping[str, Mapping[str, tuple[float, float]]],
    method: str,
    interval: str,
    moderators: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, Synthesis], dict[str, Any]]:
    """Each term that some site has, combined; and the facts `meta` and `by_site`. values: estimate and variance."""
    found: dict[str, Synthesis] = {}
    facts: dict[str, dict[str, Any]] = {}
    by_site: dict[str, dict[str, Any]] = {site: {} for site in values}
    budget = MOST_LEFT_OUT // max(len(terms), 1)
    for term in terms:
        sites = [site for site, of_site in values.items() if term in of_site]
        if not sites:
            continue
        estimates, variances = ([values[site][term][place] for site in sites] for place in (0, 1))
        found[term] = made = combine(Studies.of(estimates, variances), method, interval)
        facts[term] = _facts(made, sites, len(sites) <= budget) | _moderated(made, sites, moderators)
        for position, site in enumerate(sites):
            by_site[site][term] = _of_site(made, position)
    return found, {"meta": facts, "by_site": by_site}


def in_words(method: str, interval: str) -> str:
    """How sites were combined."""
    return f"{method}, intervals {_WORDS[interval]}"


def label_of(row: Sequence[Cell], width: int) -> str:
    """What a row of a table is called, from its index cells."""
    return ", ".join(str(cell) for cell in row[:width])


def row_of(made: Synthesis | None) -> tuple[Cell, ...]:
    """The values of `COLUMNS` and `BETWEEN`."""
    if made is None:
        return (None,) * (len(COLUMNS) + len(BETWEEN))
    return (*(float(getattr(made, name)[0]) for name in COLUMNS), *_between(made))


def beside_of(made: Synthesis | None) -> tuple[Cell, ...]:
    """The values of `BESIDE` and `BETWEEN`."""
    if made is None:
        return (None,) * (len(BESIDE) + len(BETWEEN))
    return (*(float(getattr(made, name)[0]) for name in BESIDE), *_between(made))


def _between(made: Synthesis) -> tuple[Cell, ...]:
    many = made.studies.number > 1
    told = (made.tau2, made.i_squared) if many else (None, None)
    return (made.prediction_low, made.prediction_high, *told, made.studies.number)


def _sizes(fits: Mapping[str, OwnFit]) -> dict[str, Any]:
    """Rows in all and by site, where every site's may be shown."""
    sizes = {site: fit.n for site, fit in fits.items()}
    known = [n for n in sizes.values() if n is not None]
    return {"n": sum(known), "n_by_site": sizes} if len(known) == len(sizes) else {}


def _of_site(made: Synthesis, place: int) -> dict[str, float]:
    value, error = float(made.studies.estimates[place]), float(np.sqrt(made.studies.variances[place]))
    width = quantile(None) * error
    told = {"estimate": value, "std_error": error, "ci_low": value - width, "ci_high": value + width}
    return told | {"weight": float(made.weights[place])}


def _facts(made: Synthesis, sites: Sequence[str], one_by_one: bool) -> dict[str, Any]:
    """What is told of one coefficient beside its row."""
    fixed = made if made.method == FIXED else combine(made.studies, FIXED)
    told: dict[str, Any] = {
        "q": made.q,
        "q_df": made.studies.freedom,
        "q_p_value": made.q_p_value,
        "tau2_low": made.tau2_low,
        "tau2_high": made.tau2_high,
        "h_squared": made.h_squared,
        "fixed": _ends(fixed),
    }
    if (moved := influence(made)) is not None:
        names = ("share", "moved", "deleted")
        told["influence"] = {
            site: {name: float(getattr(moved, name)[place]) for name in names} for place, site in enumerate(sites)
        }
    if len(sites) > 2 and one_by_one:
        others = leave_one_out(made.studies, made.method, made.interval)
        told["leave_one_out"] = {site: _ends(one) for site, one in zip(sites, others, strict=True)}
    if len(sites) >= LEAST_EGGER and (tested := egger(made.studies)) is not None:
        told["egger"] = {"slope": tested.slope, "std_error": tested.std_error, "p_value": tested.p_value}
    return told


def _ends(made: Synthesis) -> dict[str, float]:
    names = ("estimate", "ci_low", "ci_high")
    return {name: float(getattr(made, name)[0]) for name in names} | {"tau2": made.tau2}


def _moderated(made: Synthesis, sites: Sequence[str], moderators: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The meta-regression of a coefficient, where there are moderators and enough sites for them."""
    columns = [[of_sites[site] for site in sites] for of_sites in moderators.values()]
    if not columns or len(sites) <= len(columns) + 1:
        return {}
    try:
        found = combine(
            Studies.of(made.studies.estimates, made.studies.variances, *columns), made.method, made.interval
        )
    except ConvergenceError:  # the moderators do not tell these sites apart
        return {}
    names = ("estimate", "std_error", "p_value", "ci_low", "ci_high")
    rows = {
        word: {name: float(getattr(found, name)[place]) for name in names}
        for place, word in enumerate(("at zero", *moderators))
    }
    test = {"statistic": found.moderated, "p_value": found.moderated_p_value}
    return {"regression": {"rows": rows, "tau2": found.tau2, "r_squared": found.r_squared, "test": test}}


def _warnings(
    terms: Sequence[str], fits: Mapping[str, OwnFit], found: Mapping[str, Synthesis], interval: str, beside: bool
) -> tuple[str, ...]:
    told = []
    if lacking := sorted(site for site, fit in fits.items() if not fit.exists.any()):
        told.append(
            f"The model does not exist at {', '.join(lacking)} alone (its outcomes are separated, or a term does not "
            "vary there), so that the meta-analysis is without it. A pooled fit uses its rows."
        )
    if partly := sorted({term for place, term in enumerate(terms) for fit in fits.values() if not fit.exists[place]}):
        few = [term for term in partly if term not in found]
        if few:
            told.append(f"No site could estimate {', '.join(few)} by itself.")
    return (*told, *few_sites(found, interval, beside=beside))


def few_sites(found: Mapping[str, Synthesis], interval: str, *, beside: bool = False) -> tuple[str, ...]:
    """A warning where too few are combined to know how they vary. beside: the pooled answer stands beside them."""
    if not 0 < min((made.studies.number for made in found.values()), default=0) < 5 or interval == NORMAL:
        return ()
    where = "beside it" if beside else "(`combine: both`)"
    return (
        "Fewer than five sites are combined: the variance between sites is hardly known, and intervals by "
        f"Hartung and Knapp are wide. Compare with the pooled answer {where}.",
    )

"""Tables of a meta-analysis: beside the pooled fit, how much the sites differ, and what each site found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.ratios import ratio_name
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import (
    NOT_AVAILABLE,
    SUPPRESSED_NOTE,
    Shown,
    Table,
    fixed,
    interval,
    is_intercept,
    long_table,
    model_table,
    number,
    p_value,
    plain,
    ratio_table,
)
from sojourn.statistics.effects import AS_IT_IS, LOG, back
from sojourn.statistics.side_by_side import BETWEEN, COLUMNS, PREFIX, label_of

_NOTE = (
    "Each site's own answer is combined as studies are. I²: how much of the spread of the sites' estimates is no "
    "chance; tau²: its variance, on the scale on which sites are combined; both are hardly known with few sites. At a "
    "further site: where the true value of one more site like these is expected, 95 %."
)
_NONE = Shown(NOT_AVAILABLE)
_HIDDEN = Shown("suppressed", suppressed=True)
_ENDS = ("estimate", "ci_low", "ci_high")


def meta_tables(name: str, analysis: AnalysisRecord, estimate: Estimate) -> tuple[Table, ...]:
    """The answer as of any model, then the two ways side by side, each site's estimates, and the meta-regression."""
    ratio = ratio_name(analysis.kind, analysis.arguments)
    if "scale" in estimate.facts:
        pooled = (_pooled(name, estimate),) if estimate.facts["combine"] == "both" else ()
        tables = (*pooled, _beside(name, estimate, ""), _of_sites(name, estimate, ""))
        return tuple(table for table in (*tables, _regression(name, estimate)) if table.rows)
    own = _narrowed(estimate)
    first = (ratio_table(name, own, ratio), model_table(name, own)) if ratio else (model_table(name, own),)
    tables = (*first, _beside(name, estimate, ratio), _of_sites(name, estimate, ratio), _regression(name, estimate))
    return tuple(table for table in tables if table.rows)


def _narrowed(estimate: Estimate) -> Estimate:
    """With the columns that every model has; without terms that no site could estimate."""
    places = [len(estimate.index) + estimate.columns.index(column) for column in COLUMNS]
    rows = tuple((row[0], *(row[place] for place in places)) for row in estimate.rows if row[places[0]] is not None)
    return replace(estimate, columns=COLUMNS, rows=rows)


def _pooled(name: str, estimate: Estimate) -> Table:
    """The answer as the statistic gives it without a meta-analysis."""
    width, own = len(estimate.index), estimate.columns.index(f"{PREFIX}estimate")
    rows = tuple(row[: width + own] for row in estimate.rows)
    return long_table(name, replace(estimate, columns=estimate.columns[:own], rows=rows))


def _scale(estimate: Estimate, term: str, ratio: str) -> str:
    """On which a term was combined."""
    return str(estimate.facts.get("scale", {}).get(term, LOG if ratio else AS_IT_IS))


def _beside(name: str, estimate: Estimate, ratio: str) -> Table:
    both = estimate.facts.get("combine") == "both"
    fits = both and "scale" not in estimate.facts
    rows, counted = [], []
    for row in estimate.rows:
        term = label_of(row, len(estimate.index))
        value, facts, scale = (
            _values(estimate, row),
            estimate.facts.get("meta", {}).get(term, {}),
            _scale(estimate, term, ratio),
        )
        if isinstance(value["sites"], Suppressed):
            rows.append((Shown(plain(term), numeric=False), *(_HIDDEN,) * (5 if fits else 4)))
            counted.append(_HIDDEN)
            continue
        meta = [value.get((PREFIX if both else "") + end) for end in _ENDS]
        pooled = [_span([value[end] for end in _ENDS], scale)] if fits else []
        cells = [
            Shown(plain(term), numeric=False),
            *pooled,
            _span(meta, scale),
            _span([None, value["prediction_low"], value["prediction_high"]], scale),
            _inconsistency(value["i_squared"], facts.get("q_p_value")),
            _tau(value["tau2"], facts),
        ]
        if not (ratio and is_intercept(row[0])):
            rows.append(tuple(cells))
            counted.append(_NONE if value["sites"] is None else Shown(number(value["sites"])))
    what = f"{ratio}s, " if ratio else ""
    title = f"{name}: {what}pooled fit and meta-analysis, 95 % CI" if fits else f"{name}: {what}between the sites"
    heads = ("Term", *(("Pooled fit",) if fits else ()), "Meta-analysis", "At a further site")
    heads = (*heads, "I² (p of Q)", "tau² (95 % CI)")
    if set(counted) == {_HIDDEN}:
        return Table(plain(title), heads, 1, tuple(rows), (SUPPRESSED_NOTE,))
    if len(set(counted)) == 1:  # the usual case: a column less
        return Table(plain(title), heads, 1, tuple(rows), (f"{counted[0]} sites. {_NOTE}",))
    rows = [(*row, sites) for row, sites in zip(rows, counted, strict=True)]
    return Table(plain(title), (*heads, "Sites"), 1, tuple(rows), (_NOTE,))


def _of_sites(name: str, estimate: Estimate, ratio: str) -> Table:
    """A row a coefficient and site, with its weight and the answer without it."""
    rows = []
    for term, facts in estimate.facts.get("meta", {}).items():
        if is_intercept(term):
            continue
        without = facts.get("leave_one_out", {})
        for site, told in estimate.facts.get("by_site", {}).items():
            if term not in told:
                continue
            one, left, scale = told[term], without.get(site), _scale(estimate, term, ratio)
            rows.append(
                (
                    Shown(plain(term), numeric=False),
                    Shown(plain(site), numeric=False),
                    _span([one[end] for end in _ENDS], scale),
                    _percent(one["weight"]),
                    _NONE if left is None else _span([left[end] for end in _ENDS], scale),
                )
            )
    heads = ("Term", "Site", f"{ratio.capitalize() or 'Estimate'} (95 % CI)", "Weight", "Meta-analysis without it")
    return Table(plain(f"{name}: each site's own estimates"), heads, 2, tuple(rows), _few(estimate))


def _few(estimate: Estimate) -> tuple[str, ...]:
    """What leaving a site out tells of few sites."""
    terms = {term for term in estimate.facts.get("meta", {}) if not is_intercept(term)}
    sizes = {sum(term in told for told in estimate.facts.get("by_site", {}).values()) for term in terms}
    said = {
        2: "Of two sites none is left out: what is left would be one site's own estimate.",
        3: "Without one of three sites two are left: the variance between two is not known, and their interval tells "
        "next to nothing.",
    }
    return tuple(words for number_of_sites, words in said.items() if number_of_sites in sizes)


def _regression(name: str, estimate: Estimate) -> Table:
    """What the sites' own numbers explain; on the scale of the coefficients."""
    rows = []
    for term, facts in estimate.facts.get("meta", {}).items():
        found = facts.get("regression")
        for moderator, told in (found or {"rows": {}})["rows"].items():
            cells = (plain(term), plain(moderator))
            explained = found["r_squared"] if moderator != "at zero" else None
            rows.append(
                (
                    *(Shown(cell, numeric=False) for cell in cells),
                    _span([told[end] for end in _ENDS], AS_IT_IS),
                    Shown(p_value(told["p_value"])),
                    _percent(explained),
                )
            )
    heads = ("Term", "Moderator", "Coefficient (95 % CI)", "p", "tau² explained")
    return Table(plain(f"{name}: meta-regression on the sites' own numbers"), heads, 2, tuple(rows))


def _values(estimate: Estimate, row: Sequence[Any]) -> dict[str, Any]:
    empty = dict.fromkeys(BETWEEN)
    return empty | dict(zip((*estimate.index, *estimate.columns), row, strict=True))


def _span(ends: Sequence[Any], scale: str) -> Shown:
    """`estimate (low to high)`, read back from a scale; without an estimate the interval alone."""
    value, low, high = (None if end is None else back(scale, float(end)) for end in ends)
    if low is None or high is None:
        return _NONE
    places = _places(low, high, 2 if scale == LOG else 0)
    between = interval(low, high, places)
    return Shown(between if value is None else f"{fixed(value, places)} ({between})")


def _places(low: float, high: float, least: int) -> int:
    """Decimals: two digits of the interval's width."""
    width = high - low
    if not math.isfinite(width) or width <= 0:
        return 3
    return min(max(1 - math.floor(math.log10(width)), least), 6)


def _inconsistency(i_squared: float | None, p: float | None) -> Shown:
    return _NONE if i_squared is None or p is None else Shown(f"{i_squared:.0f} %", f"({p_value(p)})")


def _percent(value: float | None) -> Shown:
    return _NONE if value is None else Shown(f"{value:.0f} %")


def _tau(tau2: float | None, facts: Mapping[str, Any]) -> Shown:
    if tau2 is None:
        return _NONE
    low, high = facts.get("tau2_low"), facts.get("tau2_high")
    between = "" if low is None or high is None else f"({number(low, 2)} to {number(high, 2)})"
    return Shown(number(tau2, 2), between)

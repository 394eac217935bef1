"""Whom the numbers of a table of means are of: rows that are complete, and persons before that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.analysis.statistic import Estimate
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import plain, shown


def counted(analysis: AnalysisRecord, estimate: Estimate) -> tuple[str, ...]:
    """What `n` counts, by site where the sites' parts are known; empty of a table without means."""
    if not {"n", "missing", "mean"} <= set(estimate.columns):
        return ()
    sizes = {site: next(iter(of_site.values())).get("n") for site, of_site in _means(analysis).items() if of_site}
    return (f"n counts the rows that are complete in every column that the plan's analyses name{_bracket(sizes)}.",)


def lacking(analysis: AnalysisRecord, estimate: Estimate) -> tuple[str, ...]:
    """Of whom `missing` is, and what each site released of it."""
    if not counted(analysis, estimate):
        return ()
    means = _means(analysis)
    columns = dict.fromkeys(column for of_site in means.values() for column in of_site)
    parts = [
        f" {plain(column)}{_bracket({site: of[column].get('missing') for site, of in means.items() if column in of})}"
        for column in columns
    ]
    by_site = f" By site:{';'.join(parts)}." if parts else ""
    return (
        "Missing counts persons without a value among all whom the plan selects, before rows that are not complete "
        f"are left out: it is no part of n.{by_site} How many persons the plan selects is not released.",
    )


def _means(analysis: AnalysisRecord) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    found: Mapping[str, Mapping[str, Mapping[str, Any]]] = analysis.by_site.get("means", {})
    return found


def _bracket(by_site: Mapping[str, Any]) -> str:
    """Each site's number as it released it."""
    words = ", ".join(f"{plain(site)} {shown(number)}" for site, number in by_site.items() if number is not None)
    return f" ({words})" if words else ""

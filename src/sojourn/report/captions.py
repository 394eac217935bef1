"""What the marks of a figure mean, in a sentence or two below it."""

from __future__ import annotations

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.doubts import synthesis
from sojourn.report.forests import MOST_PANELS
from sojourn.report.love_plot import BALANCED
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import is_intercept, plain

_HIDDEN = "Hatched: suppressed, drawn to its upper bound, or to the top where none follows."


def caption(analysis: AnalysisRecord) -> str:
    """Of the figure that suits an analysis; empty where it explains itself."""
    estimate = analysis.estimate
    if estimate is None:
        return ""
    columns = set(estimate.columns)
    if "combine" in estimate.facts:
        return _forests(analysis)
    if estimate.index == ("lambda", "term"):
        chosen = {"lambda_bic": "Bayes' criterion", "lambda_min": "the least error", "lambda_1se": "one standard error"}
        lines = [words for fact, words in chosen.items() if isinstance(estimate.facts.get(fact), float)]
        return f"Dashed: the penalty chosen by {', '.join(lines)}." if lines else ""
    if "smd" in columns:
        words = f"Diamonds lie beyond {BALANCED:g} (dashed), below which groups are taken for alike."
        if "weighted_smd" in columns:
            marks = "Triangles: without weights; circles: under weights."
            words = f"{marks} Below {BALANCED:g} (dashed) groups are taken for alike."
        return f"{_groups(analysis, estimate)}{words}"
    if {"estimate", "ci_low", "ci_high"} <= columns and estimate.index == ("term",):
        return "Squares: estimates; lines: 95 % confidence intervals; dashed: no association. Without the intercept."
    if {"mean", "sd"} <= columns:
        return "Points: means, or shares; lines: one standard deviation to either side of a mean."
    hidden = any(isinstance(cell, Suppressed) for row in estimate.rows for cell in row)
    return _HIDDEN if hidden and "n" in columns else ""


def _forests(analysis: AnalysisRecord) -> str:
    combined = analysis.estimate.facts["combine"] if analysis.estimate is not None else ""
    terms = [term for term in synthesis(analysis) if not is_intercept(term)]
    fits = combined == "both" and analysis.estimate is not None and "scale" not in analysis.estimate.facts
    pooled = "green: the fit on all rows; orange: the meta-analysis" if fits else "the meta-analysis"
    words = (
        "Squares: each site's own estimate, as large as its weight in the meta-analysis, with its 95 % interval. "
        f"Diamonds: {pooled}. Dashed: where one more site like these is expected. At the right the numbers and weights."
    )
    return f"{words} The first {MOST_PANELS} of {len(terms)} coefficients." if len(terms) > MOST_PANELS else words


def _groups(analysis: AnalysisRecord, estimate: Estimate) -> str:
    groups, by = estimate.facts.get("groups"), plain(analysis.arguments.get("by", ""))
    if not isinstance(groups, list) or len(groups) != 2:
        return ""
    return f"{by}: {plain(groups[1])} beside {plain(groups[0])}. "

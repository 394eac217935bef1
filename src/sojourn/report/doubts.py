"""What in a result should make its reader look twice: each doubt with its evidence and what to look at.

All of it follows from the released table and, in clear plans, from what each site's releases say of it. The limits are
ours: they ask for a look, and decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from sojourn.analysis.heterogeneity import FIXED, Studies
from sojourn.analysis.influence import influence
from sojourn.analysis.meta_analysis import Synthesis, combine
from sojourn.analysis.statistic import Estimate
from sojourn.errors import ConvergenceError
from sojourn.report.ratios import ratio_name
from sojourn.report.record import AnalysisRecord, StudyRecord
from sojourn.report.tables import is_intercept, number, p_value, plain
from sojourn.statistics.argument import unpack
from sojourn.statistics.effects import AS_IT_IS, back

DIFFERENT = 0.01  # p of Cochran's Q, over the number of coefficients; of Tarone's test as it is
INCONSISTENT = 75.0  # I² in percent, "considerable" (Cochrane Handbook, ch. 10)
OUTLYING = 3.0  # deleted residual, in standard errors
DOMINATING = 70.0  # percent of a result's information
WIDE = 100.0  # upper over lower end of a ratio's interval
STEEP = 8.0  # a log odds of this size per unit is close to no maximum
MISSING = 0.2  # share of persons without a value that is large by itself
MORE_MISSING = 0.1  # and by how much more than elsewhere
APART = 2.0  # site means, in pooled standard deviations
MOST = 6  # doubts of a kind that are told one by one
_INTERACTION = "or add `site` and its interaction with this term."
_LIKELY_BINARY = ("odds ratio", "risk ratio")


@dataclass(frozen=True)
class Doubt:
    """kind: of the fixed words below. words: what it is. evidence: the numbers behind it. look: what to look at."""

    kind: str
    words: str
    evidence: str
    look: str

    def sentence(self) -> str:
        """All of it, for readers of plain text."""
        return f"{self.words} Evidence: {self.evidence}. {self.look}"


KINDS: Mapping[str, str] = {
    "sites disagree": "estimates that differ between sites by more than chance",
    "strata disagree": "odds ratios that differ between strata by more than chance",
    "outlying site": "a site far from what the others predict",
    "dominating site": "a site that decides the result",
    "missing values": "values that are missing more often than elsewhere",
    "distribution": "means and spreads that the declared range or other sites make implausible",
    "wide interval": "intervals that say nothing",
    "separation": "estimates that may have no finite maximum",
}


def doubts(record: StudyRecord, name: str) -> tuple[Doubt, ...]:
    """All doubts about one analysis; none where it was refused."""
    variables = record.plan.get("variables", {})
    return doubts_of(record.analyses[name], variables if isinstance(variables, Mapping) else {})


def doubts_of(analysis: AnalysisRecord, declared: Mapping[str, Any] | None = None) -> tuple[Doubt, ...]:
    """The same of an analysis alone. declared: the plan's variables; without them no range is looked at."""
    if analysis.estimate is None:
        return ()
    declared = declared or {}
    found = [
        *_between(analysis),
        *_over_strata(analysis),
        *_of_table(analysis, analysis.estimate),
        *_of_means(analysis, declared),
    ]
    return tuple(doubt for kind in KINDS for doubt in _few([one for one in found if one.kind == kind]))


def _few(found: Sequence[Doubt]) -> Sequence[Doubt]:
    if len(found) <= MOST:
        return found
    rest = f"{len(found) - MOST + 1} more like the one before."
    return [*found[: MOST - 1], Doubt(found[0].kind, rest, "see the table and the figures", found[0].look)]


def synthesis(analysis: AnalysisRecord) -> dict[str, tuple[list[str], Synthesis]]:
    """For each coefficient that two sites or more can estimate: these sites, and their fixed-effect combination."""
    fits = analysis.by_site.get("fits", {})
    terms = dict.fromkeys(term for rows in fits.values() for term in rows)
    found = {}
    for term in terms:
        sites = [site for site, rows in fits.items() if term in rows]
        try:
            studies = Studies.of(
                [fits[site][term]["estimate"] for site in sites], [fits[site][term]["std_error"] ** 2 for site in sites]
            )
        except ConvergenceError:
            continue
        if len(sites) > 1:
            found[term] = (sites, combine(studies, FIXED))
    return found


def _between(analysis: AnalysisRecord) -> Iterator[Doubt]:
    """How the sites' estimates lie to each other."""
    made = {term: pair for term, pair in synthesis(analysis).items() if not is_intercept(term)}
    beside, scales = _beside(analysis), _scales(analysis)
    for term, (sites, fixed) in made.items():
        p = 1.0 if fixed.q_p_value is None else fixed.q_p_value
        if p < DIFFERENT / len(made) or (fixed.i_squared > INCONSISTENT and p < 0.05):
            estimates = zip(sites, fixed.studies.estimates, strict=True)
            scale = scales.get(term, AS_IT_IS)
            values = ", ".join(f"{site} {number(back(scale, float(value)))}" for site, value in estimates)
            yield Doubt(
                "sites disagree",
                f"The sites disagree on {plain(term)}: one number for all of them hides this.",
                f"I² {number(fixed.i_squared, 2)} %, Q {number(fixed.q)} on {fixed.studies.freedom} degrees of "
                f"freedom, p {p_value(p)}; {plain(values)}",
                "Look at how the variable is measured and coded at each site, and at who is in its population; "
                f"{beside}",
            )
        yield from _outlying(term, sites, fixed)
        if len(sites) > 2 and fixed.weights.max() > DOMINATING:
            site, weight = sites[int(fixed.weights.argmax())], float(fixed.weights.max())
            yield Doubt(
                "dominating site",
                f"{plain(site)} decides the result on {plain(term)}.",
                f"it has {number(weight, 2)} % of the information of {len(sites)} sites",
                "Look at the result without it (leave it out of the plan's sites, or `combine: meta` with "
                "`leave_one_out`), and ask whether it is like the population that you want to speak of.",
            )


def _scales(analysis: AnalysisRecord) -> Mapping[str, str]:
    """On which the effects of a statistic that is no model were combined, by term; empty of a model."""
    return {} if analysis.estimate is None else analysis.estimate.facts.get("scale", {})


def _beside(analysis: AnalysisRecord) -> str:
    """Where the sites can be seen side by side; only a model takes an interaction."""
    if _scales(analysis):
        return "the sites stand side by side in the table."
    if analysis.arguments.get("combine") == "both":
        return f"the sites stand side by side in the table; {_INTERACTION}"
    return f"show the sites side by side (`combine: both`), {_INTERACTION}"


def _over_strata(analysis: AnalysisRecord) -> Iterator[Doubt]:
    """Odds ratios of strata that one number would hide."""
    facts: Mapping[str, Any] = {} if analysis.estimate is None else analysis.estimate.facts
    test = facts.get("tarone")
    if not isinstance(test, Mapping) or not _is_number(test.get("p")) or not test["p"] < DIFFERENT:
        return
    strata = " and ".join(f"`{plain(name)}`" for name in unpack(analysis.arguments.get("strata")))
    yield Doubt(
        "strata disagree",
        f"The odds ratios differ over the strata of {strata}: one number for all of them hides this.",
        f"Tarone's test {number(float(test['statistic']))} on {number(test['df'])} degrees of freedom, "
        f"p {p_value(float(test['p']))}",
        f"Look at each stratum by itself (`crosstab` with {strata}), and at who is exposed there.",
    )


def _outlying(term: str, sites: Sequence[str], fixed: Synthesis) -> Iterator[Doubt]:
    if len(sites) < 3:
        return
    random = combine(fixed.studies)
    moved = influence(random if random.tau2 > 0 else fixed)
    if moved is None:
        return
    for site, apart in zip(sites, moved.deleted, strict=True):
        if abs(apart) > OUTLYING:
            yield Doubt(
                "outlying site",
                f"{plain(site)} lies far from what the other sites predict of {plain(term)}.",
                f"{number(abs(float(apart)))} standard errors, with the variance between the others taken into account",
                "Look at the units, codes and time span of this site's data, and ask its custodian.",
            )


def _of_table(analysis: AnalysisRecord, estimate: Estimate) -> Iterator[Doubt]:
    """Intervals that say nothing, and slopes without end."""
    if not {"estimate", "ci_low", "ci_high"} <= set(estimate.columns):
        return
    ratio = ratio_name(analysis.kind, analysis.arguments)
    for row in estimate.rows:
        value = dict(zip((*estimate.index, *estimate.columns), row, strict=True))
        term = plain(value[estimate.index[0]])
        told = [value.get(name) for name in ("estimate", "std_error", "ci_low", "ci_high")]
        numbers = [float(cell) for cell in told if _is_number(cell)]
        if not ratio or is_intercept(term) or len(numbers) < len(told):
            continue
        slope, error, low, high = numbers
        if ratio in _LIKELY_BINARY and abs(slope) > STEEP and error > abs(slope) / 4:
            yield Doubt(
                "separation",
                f"The estimate of {term} may have no finite maximum: it almost separates the outcomes.",
                f"a log {ratio} of {number(slope)} with a standard error of {number(error)}",
                "Look at the outcome by this term (`crosstab`), merge its levels, or leave it out.",
            )
        elif high - low > math.log(WIDE):
            yield Doubt(
                "wide interval",
                f"The interval of {term} says nothing about its size.",
                f"a {ratio} from {number(_exp(low))} to {number(_exp(high))}",
                "Look at how many persons and events are behind this term, and whether its unit is too small or large.",
            )


def _of_means(analysis: AnalysisRecord, declared: Mapping[str, Any]) -> Iterator[Doubt]:
    """Means, spreads and missing values of columns, in all and by site."""
    estimate = analysis.estimate
    if estimate is None or not {"n", "missing", "mean", "sd"} <= set(estimate.columns):
        return
    spread: dict[str, float] = {}
    for row in estimate.rows:
        value = dict(zip((*estimate.index, *estimate.columns), row, strict=True))
        column, overall = str(row[0]), all(label == "all" for label in row[1 : len(estimate.index)])
        mean, sd = value["mean"], value["sd"]
        if overall and _is_number(mean) and _is_number(sd):
            spread[column] = float(sd)
            yield from _range(column, float(mean), float(sd), declared.get(column, {}))
    by_site = analysis.by_site.get("means", {})
    for column in spread:
        told = {site: columns[column] for site, columns in by_site.items() if column in columns}
        yield from _apart(column, told, spread[column])
        yield from _missing(column, told)


def _range(column: str, mean: float, sd: float, variable: object) -> Iterator[Doubt]:
    ends = variable if isinstance(variable, Mapping) else {}
    low, high = ends.get("low"), ends.get("high")
    look = "Look at the unit and at codes for missing values (99, -1) among the values; `histogram` shows them."
    said = f"mean {number(mean)}, standard deviation {number(sd)}"
    if sd == 0:
        yield Doubt("distribution", f"{plain(column)} is the same for everybody.", said, look)
    elif _is_number(low) and _is_number(high) and high > low:
        width = float(high) - float(low)
        edge = min(mean - float(low), float(high) - mean) / width
        if edge < 0 or sd > 0.45 * width or (edge < 0.02 and sd > 0.1 * width):
            yield Doubt(
                "distribution",
                f"The values of {plain(column)} lie at the edge of its declared range.",
                f"{said}, declared from {number(float(low))} to {number(float(high))}",
                look,
            )


def _apart(column: str, told: Mapping[str, Mapping[str, Any]], sd: float) -> Iterator[Doubt]:
    """A site whose mean is far from the others'."""
    means = {site: one["mean"] for site, one in told.items() if _is_number(one["mean"])}
    if len(means) < 2 or sd <= 0:
        return
    for site, mean in means.items():
        others = float(np.median([value for other, value in means.items() if other != site]))
        if abs(mean - others) > APART * sd / (2 if len(means) == 2 else 1):
            yield Doubt(
                "distribution",
                f"{plain(column)} has another level at {plain(site)} than elsewhere.",
                f"mean {number(float(mean))}, the median of the others' means is {number(others)}, "
                f"the pooled standard deviation {number(sd)}",
                "Look at its unit there (mmol/mol or %, months or years) and at who is in its population.",
            )


def _missing(column: str, told: Mapping[str, Mapping[str, Any]]) -> Iterator[Doubt]:
    shares = {
        site: one["missing"] / (one["missing"] + one["n"])
        for site, one in told.items()
        if _is_number(one["missing"]) and _is_number(one["n"]) and one["missing"] + one["n"] > 0
    }
    for site, share in shares.items():
        others = [value for other, value in shares.items() if other != site]
        usual = float(np.median(others)) if others else 0.0
        if share > MISSING and share - usual > MORE_MISSING:
            yield Doubt(
                "missing values",
                f"{plain(column)} is missing more often at {plain(site)} than elsewhere.",
                f"{number(100 * share, 2)} % of its persons, {number(100 * usual, 2)} % at the other sites (median), "
                "of those who lack it or are complete in all columns",
                "Look at whether the site records it for all or only for the ill: who is complete there may differ.",
            )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

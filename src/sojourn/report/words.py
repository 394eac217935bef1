"""A plan in plain words, for readers who do not read YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.report.record import AnalysisRecord, StudyRecord
from sojourn.report.tables import plain
from sojourn.statistics.argument import unpack

_AGGREGATION = {
    "clear": "clear: every site's released numbers are seen by the hub and the other sites",
    "masked": "masked: only sums over the sites can be seen",
    "auto": "automatic: masked where a site's own part may not leave, else clear",
}
_STRAGGLERS = {
    "wait": "the study waits for every site",
    "abort": "the study ends if a site does not answer",
}
_MISSING = {
    "complete": "only rows that are complete in every variable of the plan",
    "by analysis": "for each analysis, the rows that are complete in its own variables",
}
_FAMILIES = {
    "gaussian": "Linear",
    "binomial": "Logistic",
    "poisson": "Poisson",
    "gamma": "Gamma",
    "negative_binomial": "Negative binomial",
}
_MODELS = {
    "firth": ("regression under Firth's penalty", "binomial"),
    "elastic_net": ("regression under an elastic net penalty", "gaussian"),
    "lmm": ("mixed model", "gaussian"),
    "glmm": ("mixed model by penalised quasi-likelihood", "binomial"),
}
_PURPOSES = {
    "HMB": "health, medical or biomedical research",
    "GRU": "general research use",
    "DS": "research on one disease",
    "POA": "research on populations, origins or ancestry",
}


def plan_in_words(record: StudyRecord) -> tuple[tuple[str, str], ...]:
    """The plan as pairs of a term and what it says, in a fixed order; what the plan leaves out is left out."""
    plan = record.plan
    said = {
        "Rehearsal": "on synthetic stand-ins; no record was touched, and the numbers mean nothing" * record.rehearsal,
        "Purpose": purpose(record.purpose),
        "Data": f"the table {plan['table']} of every site" if plan.get("table") else "",
        "Who is studied": _population(plan),
        "Missing values": _say(_MISSING, plan.get("missing")),
        "Fewest sites": str(plan.get("min_sites") or ""),
        "Late sites": _stragglers(plan.get("stragglers")),
        "Aggregation": _say(_AGGREGATION, record.aggregation),
        "Changed so that it may pass": " ".join(record.mitigation),
    }
    return tuple((term, plain(words)) for term, words in said.items() if words)


def _population(plan: Mapping[str, Any]) -> str:
    """The rows that all analyses of a plan share."""
    if not plan.get("table"):
        return ""
    named = sorted(plan.get("variables", {}))
    complete = (
        f", complete in every column that the analyses name and do not fill in (of {', '.join(named)})" if named else ""
    )
    return f"{plan.get('where') or 'all rows of the table'}{complete}"


def purpose(word: str) -> str:
    """A purpose with its meaning, where it is one of the common GA4GH short names."""
    return f"{word} ({_PURPOSES[word]})" if word in _PURPOSES else word


def analysis_in_words(analysis: AnalysisRecord) -> str:
    """One sentence on what was computed."""
    given = analysis.arguments
    if analysis.kind == "glm":
        family = str(given.get("family", "gaussian"))
        link = f" with {given['link']} link" if given.get("link") else ""
        return plain(f"{_FAMILIES.get(family, family)} regression{link}{_combined(given)}: {given.get('formula', '')}")
    if analysis.kind == "profile_likelihood":
        return plain(f"Profile likelihoods of {given.get('term', '')}: {given.get('formula', '')}")
    if analysis.kind in _MODELS:
        return plain(f"{_model(analysis.kind, given)}{_combined(given)}: {given.get('formula', '')}")
    if analysis.kind == "cox":
        return plain(f"Cox regression: {given.get('formula', '')}")
    named = {
        "describe": "Descriptive statistics",
        "crosstab": "Cross-tabulation",
        "count": "Count of persons",
        "at_least": f"Whether there are at least {given.get('k')} persons",
        "overlap": "Persons in common of each two sites",
        "histogram": "Histogram",
        "quantiles": "Quantiles",
        "t_test": f"{'Student' if given.get('variance') == 'equal' else 'Welch'}'s t-test",
        "anova": "One-way analysis of variance",
        "correlation": "Pearson's correlations",
        "prevalence": "Prevalence",
        "trend": f"Cochran-Armitage test for trend of {given.get('outcome')}",
        "mantel_haenszel": f"Mantel-Haenszel estimates of {given.get('outcome')} by {given.get('exposure')}"
        f"{_strata(given)}",
        "balance": "Standardised mean differences",
        "incidence": f"Incidence rate of {given.get('events')} by {given.get('time')}",
        "direct_standardisation": f"Directly standardised rate of {given.get('events')} by {given.get('time')}",
        "indirect_standardisation": f"Indirectly standardised ratio of {given.get('events')} by {given.get('time')}",
    }
    head = named.get(analysis.kind, analysis.kind)
    return plain(f"{head}{_listed(given)}{_combined(given)}")


def _model(kind: str, given: Mapping[str, Any]) -> str:
    """A model in words, with what it is called by its family."""
    family = str(given.get("family", _MODELS[kind][1]))
    grouped = f", clusters by {given.get('group') or 'person'}" if kind in ("lmm", "glmm") else ""
    return f"{_FAMILIES.get(family, family)} {_MODELS[kind][0]}{grouped}"


def _combined(arguments: Mapping[str, Any]) -> str:
    """How sites or imputed sets were put together, where that is not the pooled fit alone."""
    what = "fit" if "formula" in arguments else "answer"
    said = {"meta": f", each site's own {what} combined", "both": f", pooled and by each site's own {what}"}
    return said.get(str(arguments.get("combine")), "") + _filled(arguments.get("missing"))


def _filled(missing: Mapping[str, Any] | None) -> str:
    """What stands for missing values, where rows without them take part."""
    if missing is None:
        return ""
    columns = ", ".join(map(str, missing["columns"]))
    using = f" with the help of {', '.join(map(str, missing['using']))}" if missing.get("using") else ""
    imputed = missing["method"] == "impute"
    return f", {columns} imputed{using}" if imputed else f", with indicators of missing {columns}"


def _listed(arguments: Mapping[str, Any]) -> str:
    columns = arguments.get("columns", arguments.get("column", ()))
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    by = arguments.get("by") or ()
    groups = (by,) if isinstance(by, str) else tuple(by)
    of = f" of {', '.join(map(str, names))}" if names else ""
    return of + (f", by {', '.join(map(str, groups))}" if groups else "")


def _strata(arguments: Mapping[str, Any]) -> str:
    strata = unpack(arguments.get("strata"))
    return f", over strata of {' and '.join(map(str, strata))}" if strata else ""


def _say(words: Mapping[str, str], value: object) -> str:
    return words.get(str(value), str(value)) if value is not None else ""


def _stragglers(value: object) -> str:
    if isinstance(value, (int, float)):
        return f"a site that does not answer within {value} seconds is left out"
    return _say(_STRAGGLERS, value)

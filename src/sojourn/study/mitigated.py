"""A plan with an accepted offer in it: the same people, one analysis, and what was done to it as part of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sojourn.analysis.formula import parse
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.terms import Category, Formula, Term
from sojourn.analysis.variable import SITE, Variable, merged
from sojourn.cohort.conditions import IsNull, Not, conjunction
from sojourn.disclosure.change import Change, Coarsen, Drop, LeaveOut, Merge, Restrict
from sojourn.disclosure.mitigation import SPANNED_BY, TABLES
from sojourn.errors import PlanError
from sojourn.statistics import catalogue
from sojourn.study.plan import LONGEST_TITLE, Plan


def mitigated(plan: Plan, analysis: str, change: Change) -> Plan:
    """The plan of one analysis, changed; `mitigation` and the title say how. PlanError where the change does not fit.

    It is about the same people, so that both answers may lie beside each other: `where` demands a value in every column
    of the first plan's analyses that the changed one does not name any more.
    """
    if analysis not in plan.analyses:
        raise PlanError(f"The plan has no analysis `{analysis[:40]}`.", remedy="Use an offer of this study.")
    variables, changed = _changed(plan, plan.analyses[analysis], change)
    complete = plan.analyses if plan.missing == "complete" else [analysis]
    demanded = sorted({name for other in complete for name in plan.analyses[other].variables()})
    demanded = [name for name in demanded if name not in (SITE, *plan.incomplete)]
    gone = [Not(IsNull(name)) for name in demanded if name not in changed.variables()]
    where = conjunction([*([plan.condition] if plan.condition else []), *gone]).render() if gone else plan.where
    done = (*plan.mitigation, change)
    after = plan.replace(
        analyses={analysis: changed},
        where=where,
        variables=variables,
        mitigation=done,
        title=_title(plan, change),
        min_sites=min(plan.least_sites, len(change.sites)) if isinstance(change, Restrict) else plan.min_sites,
    )
    named = set(after.names)
    return after.replace(variables={name: variable for name, variable in variables.items() if name in named})


def _title(plan: Plan, change: Change) -> str:
    title = plan.title.removesuffix(" (changed to pass)")
    return f"{title[: LONGEST_TITLE - 20]} (changed to pass)".strip()


def _changed(plan: Plan, before: Statistic, change: Change) -> tuple[Mapping[str, Variable], Statistic]:
    variables = dict(plan.variables)
    arguments = before.arguments()
    match change:
        case Merge(column, levels, into):
            if column not in variables:
                raise _unfit(column)
            variables[column] = _merge(variables[column], levels, into)
            if "formula" in arguments:
                arguments["formula"] = _referring(parse(str(arguments["formula"])), change).render()
        case Drop(column):
            return variables, _without(before, column)
        case Coarsen(edges):
            if not set(edges) < set(arguments.get("edges", ())):
                raise _unfit("edges")
            arguments["edges"] = list(edges)
        case LeaveOut(terms):
            shorter = _shorter(parse(str(arguments.get("formula", ""))), terms)
            arguments = _filled({**arguments, "formula": shorter.render()}, shorter)
        case Restrict():
            pass
    return variables, catalogue.make(before.name, arguments)


def _merge(variable: Variable, levels: tuple[str, ...], into: str) -> Variable:
    """The declaration with these levels, as analyses see them, merged into one."""
    if not set(levels) <= set(merged(variable).levels):
        raise _unfit(levels[0])
    parts = tuple(level for level in variable.levels if variable.level_of(level) in levels)
    kept = tuple(pair for pair in variable.merge if pair[0] not in levels)
    return replace(variable, merge=(*kept, (into, parts)))


def _without(before: Statistic, column: str) -> Statistic:
    """A table without a dimension; a crosstab of one column is a count."""
    arguments: dict[str, Any] = before.arguments()
    word = SPANNED_BY.get(before.name, "by")
    named = arguments.get(word, [])
    kept = [name for name in named if name != column]
    if isinstance(named, str) or len(kept) == len(named) or before.name not in TABLES:
        raise _unfit(column)
    if before.name == "crosstab" and len(kept) < 2:
        return catalogue.make("count", {"by": kept})
    return catalogue.make(before.name, {**arguments, word: kept})


def _referring(formula: Formula, change: Merge) -> Formula:
    """The formula whose reference level is the merged one, where it was one of its parts."""

    def referring(term: Term) -> Term:
        return Term(
            tuple(
                replace(factor, reference=change.into)
                if isinstance(factor, Category) and factor.name == change.column and factor.reference in change.levels
                else factor
                for factor in term.factors
            )
        )

    return replace(formula, terms=tuple(map(referring, formula.terms)))


def _shorter(formula: Formula, terms: tuple[str, ...]) -> Formula:
    kept = tuple(term for term in formula.terms if term.render() not in terms)
    if len(formula.terms) - len(kept) != len(terms) or not kept:
        raise _unfit(terms[0])
    return replace(formula, terms=kept)


def _filled(arguments: Mapping[str, Any], formula: Formula) -> dict[str, Any]:
    """The arguments without the columns to fill in that the formula no longer names."""
    said, rest = arguments.get("missing"), {word: value for word, value in arguments.items() if word != "missing"}
    columns = [name for name in said["columns"] if name in formula.names] if said else []
    return {**rest, "missing": {**said, "columns": columns}} if said and columns else rest


def _unfit(what: str) -> PlanError:
    return PlanError(
        f"The change does not fit the plan: `{what[:40]}`.", remedy="Use an offer of this study's results."
    )

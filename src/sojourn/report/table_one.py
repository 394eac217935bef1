"""Tables as papers print them: what groups are like side by side, and a path of penalties in a few columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import Shown, Table, fixed, number, plain, shown, spread_decimals, titled

MOST_PENALTIES = 6  # columns of a path
_EVERYONE = "all"
_SHARE = 1e-9  # how near the variance is to that of a share


def table_one(name: str, estimate: Estimate) -> Table:
    """A row a variable, a column a group: mean (SD), or number and percentage of a variable that is 0 or 1.

    Of two groups also how far they are apart, in standard deviations.
    """
    groups = list(dict.fromkeys(row[1] for row in estimate.rows))
    value = {(row[0], row[1]): dict(zip(estimate.columns, row[2:], strict=True)) for row in estimate.rows}
    names = list(dict.fromkeys(row[0] for row in estimate.rows))
    sizes = [{variable: value[variable, group].get("n") for variable in names} for group in groups]
    same = all(len(set(map(str, of.values()))) == 1 for of in sizes)
    heads = [_head(group, next(iter(of.values())) if same else None) for group, of in zip(groups, sizes, strict=True)]
    rows = []
    for variable in names:
        places = spread_decimals(estimate, variable)
        label = Shown(f"{plain(variable)}{_unit(value[variable, groups[0]])}", numeric=False)
        rows.append((label, *(_cell(value[variable, group], places) for group in groups)))
    by, notes = plain(estimate.index[1]), ["Numbers and percentages are of rows."]
    apart = groups[1:] if groups[0] in (None, _EVERYONE) else groups  # everybody comes first
    if len(apart) == 2:
        heads.append("SMD")
        rows = [
            (*row, _apart(*(value[variable, group] for group in apart)))
            for row, variable in zip(rows, names, strict=True)
        ]
        notes.append(f"SMD: {plain(shown(apart[1]))} less {plain(shown(apart[0]))}, in standard deviations.")
    table = titled(f"{name}: by {by}", ("variable", *heads), 1, rows)
    return replace(table, notes=(*notes, *table.notes), group=by)


def is_table_one(analysis: AnalysisRecord, estimate: Estimate) -> bool:
    """Whether an analysis describes several variables by one group."""
    described = analysis.kind == "describe" and {"n", "mean", "sd"} <= set(estimate.columns)
    return described and len(estimate.index) == 2 and len(estimate.rows) > 0


def _head(group: Cell, n: Cell) -> str:
    text = plain(_EVERYONE if group is None else shown(group))
    return text if n is None or isinstance(n, Suppressed) else f"{text} (n = {shown(n)})"


def _cell(told: dict[str, Cell], places: int | None) -> Shown:
    mean, sd = told.get("mean"), told.get("sd")
    if not isinstance(mean, (int, float)) or not isinstance(sd, (int, float)):
        return shown(mean)
    if is_share(told):
        return Shown(number(round(mean * _size(told))), f"({100 * mean:.1f} %)")
    decimals = 1 if places is None else max(places - 1, 1)
    return Shown(fixed(mean, decimals), f"({fixed(sd, decimals)})")


def _size(told: Mapping[str, Cell]) -> int:
    n = told.get("n")
    return n if isinstance(n, int) else 0


def _apart(first: dict[str, Cell], second: dict[str, Cell]) -> Shown:
    """The standardised mean difference, from what both cells of the table say."""
    cells = [told.get(name) for told in (first, second) for name in ("mean", "sd")]
    if any(isinstance(cell, Suppressed) for cell in cells):
        return Shown("suppressed", suppressed=True)
    numbers = [float(cell) for cell in cells if isinstance(cell, (int, float))]
    if len(numbers) < len(cells):
        return shown(None)
    one, other = numbers[0::2]
    shares = is_share(first) and is_share(second)
    spreads = [one * (1 - one), other * (1 - other)] if shares else [sd**2 for sd in numbers[1::2]]
    pooled = math.sqrt(sum(spreads) / 2)
    return Shown(fixed((other - one) / pooled, 2)) if pooled > 0 else shown(None)


def is_share(told: dict[str, Cell]) -> bool:
    """Whether values are 0 and 1 alone: then the variance follows from the mean."""
    cells = [told.get(name) for name in ("n", "mean", "sd")]
    numbers = [float(cell) for cell in cells if isinstance(cell, (int, float))]
    if len(numbers) < len(cells) or numbers[0] < 2:
        return False
    n, mean, sd = numbers
    return abs(sd**2 - mean * (1 - mean) * n / (n - 1)) < _SHARE


def _unit(told: dict[str, Cell]) -> str:
    return ", mean (SD)" if not is_share(told) else ", n (%)"


def balance_table(analysis: AnalysisRecord, table: Table, estimate: Estimate) -> Table:
    """Standardised differences under the names of their groups."""
    groups, by = estimate.facts.get("groups"), plain(analysis.arguments.get("by", ""))
    if not isinstance(groups, list) or len(groups) != 2:
        return table
    before = "" if "weights" in estimate.facts else f"{by}: "  # what spans all of more columns
    named = {"first": f"{before}{plain(groups[0])}", "second": f"{before}{plain(groups[1])}", "smd": "SMD"}
    named |= {f"weighted {head}": f"{word}, weighted" for head, word in named.items()}
    note = f"SMD: {plain(groups[1])} less {plain(groups[0])}, in standard deviations. A level's row holds its share."
    notes = (note, *_of_weights(estimate.facts, groups), *table.notes)
    heads = tuple(named.get(head, head) for head in table.heads)
    return replace(table, heads=heads, notes=notes, group="" if before else by)


def _of_weights(facts: Mapping[str, Any], groups: list[Any]) -> tuple[str, ...]:
    """By what the means are weighted, and how many rows of each group the weights are worth."""
    if "weights" not in facts:
        return ()
    sizes = [f"{plain(group)} {number(size)}" for group, size in zip(groups, facts["effective"], strict=True) if size]
    worth = f" Effective rows: {', '.join(sizes)}." if sizes else ""
    return (f"Weighted by {plain(facts['weights'])}, over the standard deviations without weights.{worth}",)


def path_table(name: str, estimate: Estimate) -> Table:
    """A row a coefficient, a column a penalty: some of the path, evenly, and those that a criterion chose."""
    lambdas = list(dict.fromkeys(row[0] for row in estimate.rows if isinstance(row[0], float)))
    chosen = {estimate.facts.get(fact) for fact in ("lambda_bic", "lambda_min", "lambda_1se")} - {None}
    last, few = len(lambdas) - 1, min(MOST_PENALTIES, len(lambdas))
    even = {lambdas[round(place * last / max(few - 1, 1))] for place in range(few)}
    kept = [size for size in lambdas if size in even | chosen]
    value = {(row[1], row[0]): row[2] for row in estimate.rows}
    terms = dict.fromkeys(row[1] for row in estimate.rows)
    rows = [(shown(term), *(shown(value.get((term, size))) for size in kept)) for term in terms]
    heads = ("term", *(number(size) + (" *" if size in chosen else "") for size in kept))
    table = titled(f"{name}: coefficients by penalty", heads, 1, rows)
    note = f"{len(kept)} of {len(lambdas)} penalties; all are in the results. * chosen by a criterion."
    return replace(table, notes=(note, *table.notes), group="lambda")

"""What the sites publish of their data, and how it completes a draft of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.statistic import Matched
from sojourn.analysis.suggestion import did_you_mean
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.cohort.where import check as check_where
from sojourn.errors import PlanError
from sojourn.statistics import catalogue
from sojourn.study.plan import Plan


@dataclass(frozen=True)
class Dataset:
    """One table of one site: its approved columns, whether each row is one person, and in which columns of them a row
    must be complete to take part (`core`). linkage: what its persons are named by, where other sites name theirs so.
    """

    site: str
    table: str
    variables: Mapping[str, Variable]
    row_is_person: bool = False
    core: tuple[str, ...] = ()
    linkage: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The published document, without the site: its publisher is who signed it."""
        columns = {name: variable_to_dict(variable) for name, variable in self.variables.items()}
        document = {"table": self.table, "columns": columns, "row_is_person": self.row_is_person}
        document |= {"core": list(self.core)} if self.core else {}
        return document | ({"linkage": self.linkage} if self.linkage else {})

    @classmethod
    def from_dict(cls, site: str, document: Mapping[str, Any]) -> Dataset:
        """Read what a site published; all but `table` and `columns` may be left out. PlanError on anything else."""
        columns, table, core = document.get("columns"), document.get("table"), document.get("core", [])
        row_is_person, linkage = document.get("row_is_person", False), document.get("linkage", "")
        if (
            not {"table", "columns"} <= set(document) <= {"table", "columns", "row_is_person", "core", "linkage"}
            or not isinstance(columns, Mapping)
            or not isinstance(table, str)
            or not isinstance(row_is_person, bool)
            or not isinstance(linkage, str)
            or not isinstance(core, list)
            or not all(isinstance(name, str) and name in columns for name in core)
        ):
            raise PlanError(
                f"What `{site}` publishes cannot be read.",
                remedy="Ask its custodian which version of Sojourn runs there.",
            )
        variables = {name: variable_from_dict(words, f"{site}.{table}.{name}") for name, words in columns.items()}
        if any(variable.merge for variable in variables.values()):
            raise PlanError(f"What `{site}` publishes cannot be read.", remedy="Only a plan merges levels.")
        return cls(site, table, variables, row_is_person, tuple(core), linkage)


def complete(plan: Plan, datasets: Sequence[Dataset]) -> Plan:
    """The plan with a declaration of every column that it names, from the chosen sites' dictionaries; checked.

    datasets: what the chosen sites publish. Levels are the union (in the order of the first site by name, then what the
    others add), bounds the union, `harmless` and `never`
    the intersection, `sensitive` the union, populations of areas the least. Declarations in the plan win.
    PlanError where a site lacks the table or a column, or the sites disagree on a kind or unit.
    """
    chosen = _tables(plan, datasets)
    _check_columns(plan, chosen)
    _check_linkage(plan, chosen)
    declared = dict(plan.variables)
    for name in plan.names:
        published = {dataset.site: dataset.variables[name] for dataset in chosen}
        own = plan.variables.get(name)
        _agree(name, "kind", {**published, "the plan": own} if own else published, lambda variable: variable.kind.value)
        if own is None or (own.merge and not own.levels):
            declared[name] = _merging(name, own, _union(name, published))
    return check(plan.replace(variables=declared), tuple(dataset.site for dataset in chosen))


def check(plan: Plan, roster: Sequence[str] = ()) -> Plan:
    """The same plan if it is complete and every analysis and `where` fits its declarations, else PlanError.

    roster: the sites' names, the levels of `site`. Where they are not known yet, `site` is taken to have one.
    """
    plan.check_declared()
    _check_matched(plan)
    if plan.condition:
        check_where(plan.condition, plan.variables)
    variables = with_site(dict(plan.variables), tuple(roster) or ("any site",))
    for name, statistic in plan.analyses.items():
        try:
            statistic.check(variables)
        except PlanError as error:
            raise _placed(error, name, statistic.name) from error
    return plan


def _check_matched(plan: Plan) -> None:
    """PlanError where an overlap is asked in a way by which single persons could be tried out."""
    overlaps = [name for name, statistic in plan.analyses.items() if isinstance(statistic, Matched)]
    if not overlaps:
        return
    place = f"analyses.{overlaps[0]}"
    if plan.aggregation == "clear":
        raise PlanError(
            "An overlap of sites is asked in masked plans only.",
            remedy="Set `aggregation: masked`, or `auto`.",
            field="aggregation",
        )
    if len(overlaps) > 1 or plan.where or plan.names:
        raise PlanError(
            "An overlap is asked once, of whole tables, and beside nothing that names a column.",
            remedy="Leave `where` out, and ask what names columns in another plan.",
            field=place,
        )


def _check_linkage(plan: Plan, chosen: Sequence[Dataset]) -> None:
    if not any(isinstance(statistic, Matched) for statistic in plan.analyses.values()):
        return
    linkages = [dataset.linkage for dataset in chosen if dataset.linkage]
    if len(linkages) == len(set(linkages)):
        raise PlanError(
            f"No two sites name the persons of `{plan.table}` by the same identifier.",
            remedy="Ask the custodians to declare `linkage` in their dictionaries, where they agree on an overlap.",
            field="table",
        )


def _placed(error: PlanError, analysis: str, kind: str) -> PlanError:
    """The same error, naming the whole place in the plan. kind: the statistic, which may use another one's check."""
    message = str(error.args[0]).removeprefix(f"{error.field}: ")
    head, _, rest = (error.field or "").partition(".")
    place = f"{kind}.{rest}" if rest and head in catalogue.NAMES else error.field
    return type(error)(message, remedy=error.remedy, field=f"analyses.{analysis}.{place}".rstrip("."))


def _tables(plan: Plan, datasets: Sequence[Dataset]) -> list[Dataset]:
    """The plan's table at every site, by the sites' names."""
    chosen = sorted((dataset for dataset in datasets if dataset.table == plan.table), key=lambda dataset: dataset.site)
    if not chosen:
        remedy = did_you_mean(plan.table, (dataset.table for dataset in datasets))
        raise PlanError(
            f"No site publishes a table `{plan.table}`.",
            remedy=remedy or "Ask the custodians to add it.",
            field="table",
        )
    lacking = sorted({dataset.site for dataset in datasets} - {dataset.site for dataset in chosen})
    if lacking:
        raise PlanError(
            f"{_list(lacking)} {_lacks(lacking)} the table `{plan.table}`.",
            remedy="Submit to the other sites only, or ask the custodian to add it.",
            field="table",
        )
    return chosen


def _check_columns(plan: Plan, chosen: Sequence[Dataset]) -> None:
    known = {name for dataset in chosen for name in dataset.variables}
    for name in plan.names:
        lacking = [dataset.site for dataset in chosen if name not in dataset.variables]
        if len(lacking) == len(chosen):
            raise PlanError(
                f"No site has a column `{name}` in `{plan.table}`.",
                remedy=did_you_mean(name, known) or "Ask the custodians which columns they publish.",
                field=f"variables.{name}",
            )
        if lacking:
            raise PlanError(
                f"{_list(lacking)} {_lacks(lacking)} the column `{name}`.",
                remedy="Leave the column out, or submit to the other sites only.",
                field=f"variables.{name}",
            )


def _union(name: str, published: Mapping[str, Variable]) -> Variable:
    """One declaration that holds every site's values; `published` is in the order of the sites' names."""
    variables = list(published.values())
    _agree(name, "unit", {site: item for site, item in published.items() if item.unit}, lambda variable: variable.unit)
    harmless = set.intersection(*(set(variable.harmless) for variable in variables))
    sensitive = {level for variable in variables for level in variable.sensitive}
    levels = tuple(dict.fromkeys(level for variable in variables for level in variable.levels))
    lows, highs = [variable.low for variable in variables], [variable.high for variable in variables]
    number = variables[0].kind is Kind.NUMBER
    area = next((variable.area for variable in variables if variable.area), "")
    _agree(name, "area", {site: item for site, item in published.items() if area}, lambda variable: variable.area)
    least: dict[str, int] = {}  # of each level, the least that a site declares
    for variable in variables if area else ():
        for level, people in zip(variable.levels, variable.populations, strict=True):
            least[level] = min(people, least.get(level, people))
    return Variable(
        kind=variables[0].kind,
        levels=levels,
        low=min((low for low in lows if low is not None), default=None) if number and None not in lows else None,
        high=max((high for high in highs if high is not None), default=None) if number and None not in highs else None,
        unit=next((variable.unit for variable in variables if variable.unit), ""),
        harmless=tuple(level for level in levels if level in harmless),
        sensitive=tuple(level for level in levels if level in sensitive),
        never=tuple(sorted(set.intersection(*(set(variable.never) for variable in variables)))),
        area=area,
        populations=tuple(least[level] for level in levels) if area else (),
    )


def _merging(name: str, own: Variable | None, published: Variable) -> Variable:
    """The sites' declaration, with the levels merged that a draft merges."""
    if own is None:
        return published
    document = {**variable_to_dict(published), "merge": {level: list(parts) for level, parts in own.merge}}
    return variable_from_dict(document, f"variables.{name}")


def _agree(name: str, word: str, published: Mapping[str, Variable], of: Callable[[Variable], str]) -> None:
    """All say the same, or PlanError that names who says what."""
    said: dict[str, list[str]] = {}
    for site, variable in published.items():
        said.setdefault(of(variable), []).append(site)
    if len(said) > 1:
        words = "; ".join(f"`{value}` at {_list(sites)}" for value, sites in said.items())
        raise PlanError(
            f"The {word} of `{name}` differs: {words}.",
            remedy="Leave the column out, submit to the sites that agree, or ask the custodians to harmonise it.",
            field=f"variables.{name}.{word}",
        )


def _list(sites: Sequence[str]) -> str:
    return ", ".join(sites)


def _lacks(sites: Sequence[str]) -> str:
    return "lacks" if len(sites) == 1 else "lack"

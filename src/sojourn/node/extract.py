"""Extraction: the smallest table that a plan needs, out of one snapshot. Computation never sees the snapshot itself."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.population import Population
from sojourn.analysis.variable import SITE, Kind, Variable, Variables, merged, with_site
from sojourn.cohort.sql import condition
from sojourn.cohort.where import check
from sojourn.disclosure.alike import Apart
from sojourn.errors import DatasetError, SiteRefused, WhereError
from sojourn.node.alike import Pair, apart_persons
from sojourn.node.dataset import Snapshot, current_snapshot, load_snapshot
from sojourn.node.dictionary import Dictionary
from sojourn.node.warehouse import PERSON, TABLE, open_snapshot, quote
from sojourn.study.plan import Plan

_TYPES = {Kind.NUMBER: "float64", Kind.BOOLEAN: "boolean", Kind.CATEGORY: "string"}
_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Extracted:
    """A plan's analysis table at this site, the snapshot it is from, and how many rows satisfied `where`."""

    population: Population
    snapshot: Snapshot
    selected: int


def extract(
    home: Path,
    dataset: str,
    snapshot: str,
    plan: Plan,
    site: str,
    roster: Iterable[str],
    opted_out: Iterable[int] = _NOBODY,
) -> Extracted:
    """The rows of a snapshot that satisfy the plan's `where` and are complete in every variable of its analyses.

    A variable that only `where` names need not be complete: `where` itself says what a missing value means. Nor need
    one whose missing values the analyses fill in: its rows without a value are marked.

    opted_out: numbers of persons who are left out before anything else. Raises SiteRefused with "no table" or
    "dictionary" where this site cannot answer the plan.
    """
    frozen = _snapshot(home, dataset, snapshot)
    if frozen.dictionary.table != plan.table:
        raise SiteRefused("no table")
    _check_condition(plan, frozen.dictionary)
    agree(plan.names, plan.variables, frozen.dictionary.columns)
    names = tuple(sorted({name for analysis in plan.analyses.values() for name in analysis.variables()} - {SITE}))
    values = _query(home, frozen, _statement(names, plan, frozen.dictionary))
    persons = np.asarray(values.pop(PERSON), dtype=np.uint32)
    out = np.fromiter(opted_out, dtype=np.uint32)
    if len(out):
        stays = ~np.isin(persons, out)
        persons, values = persons[stays], {name: np.ma.asarray(column)[stays] for name, column in values.items()}
    complete = np.ones(len(persons), dtype=bool)
    missing: dict[str, NDArray[np.uint32]] = {}
    for name in names:
        absent = np.ma.getmaskarray(values[name])
        missing[name] = np.unique(persons[absent])
        complete &= ~absent if name not in plan.incomplete else True
    selected = len(persons)
    if not complete.all():
        persons, values = persons[complete], {name: values[name][complete] for name in names}
    masks = {name: np.ma.getmaskarray(values[name]) for name in plan.incomplete}
    lacking = {name: mask for name, mask in masks.items() if mask.any()}
    columns = {name: _column(values.pop(name), plan.variables[name], lacking.get(name)) for name in names}
    variables = with_site(plan.variables, tuple(roster))
    return Extracted(Population(site, variables, columns, persons, missing, lacking), frozen, selected)


def everyone(home: Path, dataset: str, snapshot: str) -> BitMap:
    """The numbers of all persons of a snapshot; SiteRefused("no table") where it is not there."""
    frozen = _snapshot(home, dataset, snapshot)
    return BitMap(_query(home, frozen, f"SELECT DISTINCT {PERSON} FROM {TABLE}")[PERSON])


def changed_persons(home: Path, dataset: str, one: str, other: str, among: tuple[str, ...] = ()) -> BitMap:
    """The persons of two snapshots whose records differ in the columns that both have; order does not count.

    among: only these columns, where both have them all.
    """
    before, after = _snapshot(home, dataset, one), _snapshot(home, dataset, other)
    both = set(before.dictionary.columns) & set(after.dictionary.columns)
    shared = sorted(among) if among and set(among) <= both else sorted(both)
    columns = ", ".join(quote(name) for name in shared) or "NULL"
    # A sum, so that equal rows do not cancel.
    statement = (
        f"SELECT {PERSON}, CAST(sum(hash({columns})) % 9223372036854775783 AS BIGINT) AS held"
        f" FROM {TABLE} GROUP BY {PERSON} ORDER BY {PERSON}"
    )
    old, new = (_query(home, frozen, statement) for frozen in (before, after))
    persons, first, second = np.intersect1d(old[PERSON], new[PERSON], assume_unique=True, return_indices=True)
    differ = np.asarray(old["held"])[first] != np.asarray(new["held"])[second]
    return BitMap(persons[differ].astype(np.uint32))


def columns_apart(home: Path, dataset: str, snapshot: str, threshold: int) -> dict[Pair, Apart]:
    """For whom columns of a snapshot differ that are alike for at least three quarters (see `alike`)."""
    frozen = _snapshot(home, dataset, snapshot)
    with _turn, tempfile.TemporaryDirectory(prefix="spill-", dir=home) as spill:
        return apart_persons(frozen.path, Path(spill), frozen.dictionary, threshold)


def _check_condition(plan: Plan, dictionary: Dictionary) -> None:
    """SiteRefused("plan") where the plan's `where` is not one over its variables, or names the person column."""
    if plan.condition is None:
        return
    try:
        check(plan.condition, plan.variables, person=dictionary.person)
    except WhereError as error:
        raise SiteRefused("plan") from error


def agree(names: Iterable[str], asked: Variables, declared: Variables) -> None:
    """Raise SiteRefused("dictionary") unless this site's dictionary fits into what the plan declares, column by column.

    Fitting: same kind and unit, levels that the plan has too, bounds within the plan's; and the plan claims
    nothing that would loosen a disclosure rule here.
    """
    for name in names:
        if name not in asked or name not in declared or not _fits(declared[name], asked[name]):
            raise SiteRefused("dictionary")


def _fits(own: Variable, asked: Variable) -> bool:
    if own.kind is not asked.kind or not set(own.levels) <= set(asked.levels):
        return False
    if own.unit and asked.unit and own.unit != asked.unit:
        return False
    low = asked.low is None or (own.low is not None and own.low >= asked.low)
    high = asked.high is None or (own.high is not None and own.high <= asked.high)
    return low and high and _as_strict(own, asked)


def _as_strict(own: Variable, asked: Variable) -> bool:
    """Whether a plan claims no more harmlessness, impossibility or people than the custodian's own dictionary does."""
    levels, people = set(own.levels), dict(zip(own.levels, own.populations, strict=False))
    return (
        set(asked.harmless) & levels <= set(own.harmless)
        and set(own.sensitive) <= set(asked.sensitive)
        and {pair for pair in asked.never if pair[0] in levels} <= set(own.never)
        and own.area == asked.area
        and all(n <= people.get(level, n) for level, n in zip(asked.levels, asked.populations, strict=False))
    )


def _snapshot(home: Path, dataset: str, snapshot: str) -> Snapshot:
    try:
        current_snapshot(home, dataset)
    except DatasetError:
        raise SiteRefused("no table") from None
    return load_snapshot(home, dataset, snapshot)


def _statement(names: tuple[str, ...], plan: Plan, dictionary: Dictionary) -> str:
    """The SQL of the one query, over the rows that are complete in the dictionary's core.

    Categories become positions in the plan's (merged) levels, -1 where undeclared.
    """
    import ibis  # with the first study: a tenth of an idle node's memory

    schema = {name: _TYPES[variable.kind] for name, variable in dictionary.columns.items()}
    table = ibis.table({**schema, PERSON: "uint32"}, name=TABLE)
    selected = table.filter([table[name].notnull() for name in dictionary.core]) if dictionary.core else table
    if (tree := plan.condition) is not None:
        selected = selected.filter(condition(tree, selected, plan.variables))
    columns = {name: _coded(selected[name], plan.variables[name]) for name in names}
    return str(ibis.to_sql(selected.select(**columns, **{PERSON: selected[PERSON]}), dialect="duckdb"))


def _coded(column: Any, variable: Variable) -> Any:
    import ibis

    if variable.kind is not Kind.CATEGORY:
        return column
    codes = {level: code for code, level in enumerate(merged(variable).levels)}
    places = [(level, codes[variable.level_of(level)]) for level in variable.levels]
    return column.isnull().ifelse(ibis.null("int32"), column.cases(*places, else_=-1).cast("int32"))


# One at a time: a process cannot open a file twice with two spill folders, and each query may use its whole memory.
_turn = threading.Lock()


def _query(home: Path, snapshot: Snapshot, statement: str) -> dict[str, NDArray[Any]]:
    import duckdb  # loads with the first import or study, not with an idle node

    with _turn, tempfile.TemporaryDirectory(prefix="spill-", dir=home) as spill:
        connection = open_snapshot(snapshot.path, spill=Path(spill))
        try:
            values: Any = connection.execute(statement).fetchnumpy()
            return dict(values)
        except duckdb.Error:
            raise DatasetError(
                "The snapshot could not be read.", remedy="Check free memory and disk space, or restore from backup."
            ) from None
        finally:
            connection.close()


def _column(values: NDArray[Any], variable: Variable, absent: NDArray[np.bool_] | None = None) -> NDArray[np.generic]:
    """Values in the population's types, 0 where they are absent; fail closed on what import should have refused."""
    plain = np.ma.getdata(values)
    if absent is not None:
        plain = np.where(absent, np.zeros(1, dtype=plain.dtype), plain)
    if variable.kind is Kind.NUMBER:
        numbers = plain.astype(np.float64, copy=False)
        if not np.isfinite(numbers).all():
            raise SiteRefused("dictionary")
        return numbers
    if variable.kind is Kind.BOOLEAN:
        return plain.astype(np.int8)
    if (plain < 0).any():
        raise SiteRefused("dictionary")
    return plain.astype(np.int32)

"""A model with a column `missing(x)` for each column that may lack values; what stands for them does not matter."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Coordinator, Squared, Step, clear_only
from sojourn.analysis.support import Contributions, Design, Support, Working
from sojourn.analysis.terms import Column, Survival, Term
from sojourn.analysis.variable import Kind, Variable, Variables, indicator
from sojourn.errors import PlanError
from sojourn.statistics.meta import Model

WARNING = (
    "Missing values have an indicator: other coefficients are biased wherever a column and those that it is "
    "correlated with are missing for a reason, and in general even where they are not. Compare with imputation."
)


@dataclass(frozen=True)
class Indicated:
    """A model, and the same with the indicators in its formula. Everything is the second's, but its own words."""

    model: Model
    columns: tuple[str, ...]
    inner: Model

    @classmethod
    def of(cls, model: Model, columns: tuple[str, ...], place: str) -> Indicated:
        """PlanError where a column is the outcome, or stands in a product: what fills it in would matter there."""
        given: Any = model
        formula = given.formula
        outcome = formula.outcome.names if isinstance(formula.outcome, Survival) else (formula.outcome.name,)
        for name in columns:
            products = [term for term in formula.terms if len(term.factors) > 1]
            if name in outcome or any(factor.name == name for term in products for factor in term.factors):
                remedy = "Use `method: impute`, or leave the interaction out."
                raise PlanError(f"`{name}` is an outcome or in an interaction.", remedy=remedy, field=place)
        more = tuple(Term((Column(indicator(name)),)) for name in columns)
        return cls(model, columns, replace(given, formula=replace(formula, terms=(*formula.terms, *more))))

    @property
    def clear_only(self) -> str:
        """The model's: why a masked plan has none of it; empty where it may have."""
        return clear_only(self.model)

    @property
    def squared(self) -> str:
        """See `Squared`: the model's; empty where it gives no squares."""
        return self.inner.squared if isinstance(self.inner, Squared) else ""

    @property
    def name(self) -> str:
        """The model's: its own name stands in the plan, with `missing` among its arguments."""
        return self.model.name

    @property
    def rules(self) -> tuple[str, ...]:
        """The model's: an indicator is a column like any other."""
        return self.model.rules

    @property
    def incomplete(self) -> tuple[str, ...]:
        """The columns in which a row need not be complete."""
        return self.columns

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {**self.model.arguments(), "missing": {"method": "indicators", "columns": list(self.columns)}}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.model.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`; no column is named like an indicator."""
        self.model.check(variables)
        for name in self.columns:
            if indicator(name) in variables:
                remedy = "Rename the column, or use `method: impute`."
                raise PlanError(f"`{indicator(name)}` is a column.", remedy=remedy, field=f"{self.name}.missing")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return self.inner.steps(self._declared(variables))

    def rounds(self) -> int:
        """See `Statistic`."""
        return self.inner.rounds()

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return self.inner.local(step, _latest.filled(self, population), broadcast)

    def support(self, population: Population) -> Support:
        """See `Statistic`; a place-holder is no value, so that a column's are those that were observed.

        That nobody here lacks a value, or everybody, is what an indicator's empty level shows.
        """
        support = self.inner.support(_latest.filled(self, population))
        own = {indicator(name) for name in self.columns}
        constant = tuple(name for name in support.constant if name not in own)
        design = support.design
        for name in self.columns if design is not None else ():
            if design is not None and name in population.absent:
                design = _observed(design, self.inner.support(self._without(population, name)).design, name)
        return replace(support, measures=self.variables(), constant=constant, design=design)

    def _without(self, population: Population, name: str) -> Population:
        """The rows that have a value of a column."""
        filled, rows = _latest.filled(self, population), ~population.absent[name]
        columns = {other: values[rows] for other, values in filled.columns.items()}
        absent = {other: lacking[rows] for other, lacking in filled.absent.items()}
        return replace(filled, columns=columns, persons=filled.persons[rows], absent=absent)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`."""
        return self.inner.working(step, _latest.filled(self, population), broadcast)

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`."""
        filled = _latest.filled(self, population)
        return self.inner.distances(filled, broadcast) if isinstance(self.inner, Squared) else ()

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """The largest leverage of a person here beside all sites' last sums."""
        judge = getattr(self.inner, "joint_leverage", None)
        return None if judge is None else judge(step, _latest.filled(self, population), broadcast, sums)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        found = yield from self.inner.coordinator(self._declared(variables))
        facts = {**found.facts, "indicators": list(self.columns)}
        return replace(found, facts=facts, warnings=(*found.warnings, WARNING))

    def _declared(self, variables: Variables) -> Variables:
        return {**variables, **{indicator(name): Variable(Kind.BOOLEAN) for name in self.columns}}

    def fill(self, population: Population) -> Population:
        """Rows with a place-holder where a value is absent, and which they are."""
        columns, nobody = dict(population.columns), np.zeros(population.rows, dtype=bool)
        for name in self.columns:
            rows = population.absent.get(name, nobody)
            columns[indicator(name)] = rows.astype(np.int8)
            if rows.any():
                columns[name] = columns[name].copy()
                columns[name][rows] = _holder(population.variables[name])
        absent = {name: rows for name, rows in population.absent.items() if name not in self.columns}
        return replace(population, variables=self._declared(population.variables), columns=columns, absent=absent)


def _observed(design: Design, observed: Design | None, name: str) -> Design:
    """With the levels, and the bins of numbers, that a column shows where it has values."""
    if observed is None:
        return design
    numbers = {word: hit for word, hit in observed.numbers.items() if _names(word, name)}
    levels = {label: who for label, who in observed.levels.items() if _of_column(label, name)}
    return replace(design, levels={**design.levels, **levels}, numbers={**design.numbers, **numbers})


def _of_column(label: str, name: str) -> bool:
    """Whether a level, or one of a pair, is of this column rather than of its indicator."""
    factors = [part.partition("=")[0] for part in label.split(" & ")]
    return indicator(name) not in factors and any(_names(factor, name) for factor in factors)


def _names(text: str, name: str) -> bool:
    return name in re.findall(r"\w+", text)


def _holder(variable: Variable) -> float:
    """A number inside the declared range, where all functions of a formula exist; the first level of others."""
    if variable.kind is not Kind.NUMBER:
        return 0
    low, high = variable.low, variable.high
    if low is not None and high is not None:
        return (low + high) / 2
    return low if low is not None else high if high is not None else 1.0


class _Latest(threading.local):
    """The rows filled in last: one population object for all rounds, as the model keeps its design by it."""

    _kept: tuple[Indicated, Population, Population] | None = None

    def filled(self, asked: Indicated, population: Population) -> Population:
        kept = self._kept
        if kept is None or kept[0] != asked or kept[1] is not population:
            kept = self._kept = (asked, population, asked.fill(population))
        return kept[2]


_latest = _Latest()

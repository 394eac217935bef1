"""Design matrices from a formula and declared variables: the same columns at every site, whatever its rows hold.

Coding of categories: the algorithm of patsy and formulaic (N. J. Smith, "Model specification for experts and computer
programs", patsy documentation), which equals R's wherever R's columns are linearly independent. A category is coded
without its reference level where the rest of its term is already in the model, and with all levels elsewhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.population import Population
from sojourn.analysis.spline import basis
from sojourn.analysis.suggestion import did_you_mean
from sojourn.analysis.terms import Category, Column, Factor, Formula, Power, Spline, Survival, Transform
from sojourn.analysis.variable import Kind, Variable, Variables
from sojourn.errors import PlanError, SiteRefused

Vector = NDArray[np.float64]
INTERCEPT = "Intercept"
MOST_COLUMNS = 1_000


@dataclass(frozen=True)
class Piece:
    """What one factor gives to one column: a number, one function of a spline, or the indicator of one level."""

    factor: Factor
    label: str
    index: int | None = None  # the level, or the function of a spline; None for a number

    def values(self, population: Population) -> Vector:
        """One value a row."""
        if isinstance(self.factor, Category):
            return np.asarray(population.column(self.factor.name) == self.index, dtype=np.float64)
        if isinstance(self.factor, Spline):
            return np.asarray(_spline(self.factor, population)[:, self.index], dtype=np.float64)
        return _number(self.factor, population)


@dataclass(frozen=True)
class Layout:
    """The columns of a design matrix, known from formula and declarations alone.

    columns: for each column the pieces that are multiplied, none for the intercept. terms: the columns' names.
    """

    columns: tuple[tuple[Piece, ...], ...]

    @classmethod
    def of(cls, formula: Formula, variables: Variables, field: str = "formula") -> Layout:
        """Lay out the columns; PlanError where the formula does not fit the variables (which hold `site` if used)."""
        check(formula, variables, field)
        pieces = _pieces(formula, variables)
        columns: list[tuple[Piece, ...]] = [()] if formula.intercept else []
        spanned: set[frozenset[_Coded]] = {frozenset()} if formula.intercept else set()
        for term in formula.terms:
            named = dict.fromkeys(_identity(factor, variables) for factor in term.factors)
            parts = [part for part in _subsets(named) if frozenset(part) not in spanned]
            spanned |= {frozenset(part) for part in parts}
            for part in _simplify(parts):
                choices = [pieces[coded.factor].coded(coded.reduced) for coded in part]
                if len(columns) + math.prod(map(len, choices)) > MOST_COLUMNS:
                    raise _too_wide(field)
                columns += [tuple(reversed(column)) for column in itertools.product(*reversed(choices))]
        return cls(tuple(columns))

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns, e.g. `Intercept`, `age`, `C(sex)[T.Male]`, `age:exang[T.True]`."""
        return tuple(":".join(piece.label for piece in column) or INTERCEPT for column in self.columns)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)


def design(layout: Layout, population: Population) -> NDArray[np.float64]:
    """The design matrix, (rows, width); SiteRefused("dictionary") where a value has no place in it."""
    known: dict[Piece, Vector] = {}
    matrix = np.ones((population.rows, layout.width), dtype=np.float64, order="F")  # one column after the other
    for position, column in enumerate(layout.columns):
        for piece in column:
            if piece not in known:
                known[piece] = piece.values(population)
            matrix[:, position] *= known[piece]
        if not np.isfinite(matrix[:, position]).all():
            raise SiteRefused("dictionary")
    return matrix


def outcome(formula: Formula, population: Population) -> NDArray[np.float64]:
    """The outcome, (rows,); a boolean as 0 and 1. A survival outcome has no single vector: PlanError."""
    if isinstance(formula.outcome, Survival):
        raise PlanError("`Surv` is no outcome of this analysis.", remedy="Use a number or boolean as the outcome.")
    values = _number(formula.outcome, population)
    if not np.isfinite(values).all():
        raise SiteRefused("dictionary")
    return values


def check(formula: Formula, variables: Variables, field: str = "formula") -> None:
    """Raise PlanError where a column is unknown, of the wrong kind, or a level or range does not fit."""
    left = formula.outcome
    numbers: list[Factor] = [Column(name) for name in left.names] if isinstance(left, Survival) else [left]
    numbers += [Column(formula.offset)] if formula.offset else []
    for factor in numbers:
        _check_number(factor, declared(factor.name, variables, field), field)
    references: dict[str, str | None] = {}
    for factor in (factor for term in formula.terms for factor in term.factors):
        variable = declared(factor.name, variables, field)
        if isinstance(factor, Category) or (isinstance(factor, Column) and variable.kind is not Kind.NUMBER):
            reference = factor.reference if isinstance(factor, Category) else None
            _check_category(factor.name, reference, variable, field)
            if references.setdefault(factor.name, reference) != reference:
                raise PlanError(
                    f"`{factor.name}` has two reference levels.",
                    remedy="Write the same `C(…)` in all terms.",
                    field=field,
                )
        else:
            _check_number(factor, variable, field)


def declared(name: str, variables: Variables, field: str = "formula") -> Variable:
    """The declaration of a column; PlanError with the nearest name where there is none."""
    if name not in variables:
        raise PlanError(
            f"There is no column `{name}`.",
            remedy=did_you_mean(name, variables) or "Use a column that the sites publish.",
            field=field,
        )
    return variables[name]


def levels_of(variable: Variable) -> tuple[str, ...]:
    """The levels that code a category or boolean, in their order."""
    return ("False", "True") if variable.kind is Kind.BOOLEAN else variable.levels


def _too_wide(field: str) -> PlanError:
    return PlanError(
        f"The model has more than {MOST_COLUMNS} columns.",
        remedy="Leave out an interaction, or use categories with fewer levels.",
        field=field,
    )


def _check_category(name: str, reference: str | None, variable: Variable, field: str) -> None:
    levels = levels_of(variable)
    if variable.kind is Kind.NUMBER or not levels:
        raise PlanError(
            f"`{name}` has no declared levels.", remedy="Use it as a number, or declare it as a category.", field=field
        )
    if reference is not None and reference not in levels:
        raise PlanError(
            f"`{reference}` is not a declared level of `{name}`.", remedy=did_you_mean(reference, levels), field=field
        )


def _check_number(factor: Factor, variable: Variable, field: str) -> None:
    allowed = (Kind.NUMBER, Kind.BOOLEAN) if isinstance(factor, Column) else (Kind.NUMBER,)
    if variable.kind not in allowed:
        raise PlanError(
            f"`{factor.name}` is a {variable.kind} and cannot be used as a number in `{factor.render()}`.",
            remedy=f"Use a column of numbers, or `C({factor.name})` on the right of `~`.",
            field=field,
        )
    if isinstance(factor, Transform) and variable.low is not None:
        outside = variable.low <= 0 if factor.function == "log" else variable.low < 0
        if factor.function in ("log", "sqrt") and outside:
            raise PlanError(
                f"`{factor.render()}` does not exist for all values: `{factor.name}` may be {variable.low:g}.",
                remedy="Use the column itself, or ask the custodians to narrow its declared range.",
                field=field,
            )
    if isinstance(factor, Spline):
        _boundaries(factor, variable, field)


def _boundaries(spline: Spline, variable: Variable, field: str = "formula") -> Spline:
    """The spline with both boundary knots, from the declared range where it does not name them."""
    low = variable.low if spline.low is None else spline.low
    high = variable.high if spline.high is None else spline.high
    if low is None or high is None:
        raise PlanError(
            f"The range of `{spline.name}` is not declared.",
            remedy="Give the boundary knots, e.g. `low=0, high=100`.",
            field=field,
        )
    ordered = (low, *spline.knots, high)
    if any(left >= right for left, right in itertools.pairwise(ordered)):
        raise PlanError(
            f"The knots of `{spline.name}` do not lie between its boundaries {low:g} and {high:g}.",
            remedy="Choose increasing knots inside the range.",
            field=field,
        )
    return replace(spline, low=low, high=high)


@dataclass(frozen=True)
class _Coded:
    """A factor in a term, by its identity; reduced: a category without its reference level."""

    factor: str
    categorical: bool
    reduced: bool


@dataclass(frozen=True)
class _Pieces:
    """All pieces of a factor, and those without the reference level."""

    full: tuple[Piece, ...]
    reduced: tuple[Piece, ...]

    def coded(self, reduced: bool) -> tuple[Piece, ...]:
        return self.reduced if reduced else self.full


def _identity(factor: Factor, variables: Variables) -> _Coded:
    """`sex` and `C(sex)` are the same category."""
    if isinstance(factor, Category) or (isinstance(factor, Column) and variables[factor.name].kind is not Kind.NUMBER):
        return _Coded(f"C({factor.name})", categorical=True, reduced=True)
    return _Coded(factor.render(), categorical=False, reduced=False)


def _pieces(formula: Formula, variables: Variables) -> dict[str, _Pieces]:
    """The pieces of every factor by identity, labelled as the factor is first written."""
    found: dict[str, _Pieces] = {}
    for factor in (factor for term in formula.terms for factor in term.factors):
        identity = _identity(factor, variables)
        if identity.factor not in found:
            found[identity.factor] = _levels(factor, variables) if identity.categorical else _numbers(factor, variables)
    return found


def _levels(factor: Factor, variables: Variables) -> _Pieces:
    levels = levels_of(variables[factor.name])
    category = factor if isinstance(factor, Category) else Category(factor.name)
    reference = levels[0] if category.reference is None else category.reference
    text = factor.render()
    full = tuple(Piece(category, f"{text}[{level}]", index) for index, level in enumerate(levels))
    reduced = tuple(
        Piece(category, f"{text}[T.{level}]", index) for index, level in enumerate(levels) if level != reference
    )
    return _Pieces(full, reduced)


def _numbers(factor: Factor, variables: Variables) -> _Pieces:
    text = factor.render()
    if isinstance(factor, Spline):
        bounded = _boundaries(factor, variables[factor.name])
        count = len(factor.knots) + factor.degree
        pieces = tuple(Piece(bounded, f"{text}[{index}]", index) for index in range(1, count + 1))
    else:
        pieces = (Piece(factor, text),)
    return _Pieces(pieces, pieces)


_Part = tuple[_Coded, ...]


def _subsets(factors: Iterable[_Coded]) -> list[_Part]:
    """All parts that a term spans: each category is there without its reference level, or not at all."""
    choices = [((coded,), ()) if coded.categorical else ((coded,),) for coded in factors]
    return [tuple(itertools.chain.from_iterable(choice)) for choice in itertools.product(*choices)]


def _simplify(parts: Iterable[_Part]) -> list[_Part]:
    """The fewest parts of the same span: `b` and `a[reduced]:b` together are `a[full]:b`."""
    kept: list[_Part] = []
    for part in sorted(parts, key=len):
        for other in kept:
            extra = set(part) - set(other)
            if len(part) == len(other) + 1 and len(extra) == 1 and (new := next(iter(extra))).reduced:
                merged = tuple(replace(coded, reduced=False) if coded == new else coded for coded in part)
                kept = _simplify([*(earlier for earlier in kept if earlier != other), merged])
                break
        else:
            kept.append(part)
    return kept


def _number(factor: Factor, population: Population) -> Vector:
    values = population.numeric(factor.name)
    with np.errstate(all="ignore"):  # what is not finite is refused by the caller
        if isinstance(factor, Transform):
            functions: Mapping[str, np.ufunc] = {"log": np.log, "exp": np.exp, "sqrt": np.sqrt}
            return np.asarray(functions[factor.function](values), dtype=np.float64)
        return values**factor.exponent if isinstance(factor, Power) else values


def _spline(spline: Spline, population: Population) -> NDArray[np.float64]:
    """All functions of a bounded spline, (rows, knots + degree + 1)."""
    if spline.low is None or spline.high is None:
        raise ValueError("a spline without boundaries")
    values = population.numeric(spline.name)
    if ((values < spline.low) | (values > spline.high)).any():
        raise SiteRefused("dictionary")
    return basis(values, spline.knots, spline.degree, spline.low, spline.high)

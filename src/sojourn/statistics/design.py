"""Evidence of a regression's design: persons of each level, pair of levels and part of a spline, leverage, patterns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.matrix import Piece, levels_of
from sojourn.analysis.sets import largest_two, persons_by_place, persons_of
from sojourn.analysis.support import Cells, Contributions, Design, Working
from sojourn.analysis.terms import Category, Column, Factor, Power, Spline, Survival, Transform
from sojourn.analysis.values import bins_hit
from sojourn.analysis.variable import SITE, Kind, Variable, indicator
from sojourn.statistics.leverage import largest_leverage, largest_under
from sojourn.statistics.rows import Rows, Weighed

Vector = NDArray[np.float64]
_NORMAL = 1e-280  # working weights under this have lost digits


def evidence(rows: Rows, outcome: str, family: str, weights: str | None, offset: str | None) -> Design:
    """What the regression shows of its design at this site; `outcome` is the outcome's label."""
    persons = rows.population.persons
    everyone = persons_of(persons)
    leverage, rank = largest_leverage(rows)
    per_person = rows.per_person(rows.w)
    extra = tuple(name for name in (weights, offset) if name)
    effective = float(rows.w.sum() ** 2 / (per_person**2).sum()) if len(persons) else 0.0
    return Design(
        persons=len(everyone),
        rows=len(persons),
        parameters=sum(not _elsewhere(column, rows) for column in rows.layout.columns),
        levels=_levels(rows, outcome, family, extra),
        events=_events(rows, outcome, family),
        leverage=leverage,
        effective=effective if weights else None,
        patterns=_rarest_pattern(rows, rank),
        numbers={name: bins_hit(values) for name, values in _numbers(rows, outcome, family, extra).items()},
        by_site=any(piece.factor.name == SITE for column in rows.layout.columns for piece in column),
    )


def working(rows: Rows, weighed: Weighed, centre: Vector) -> Working | None:
    """How few persons the sums of a round rest on; None where no sums are made."""
    weight, terms = weighed.weight, weighed.terms
    if not (all(np.isfinite(size).all() for size in (weight, *terms)) and (weight >= 0).all()):
        return None
    if not weight.any():
        return Working(0.0, 1.0)  # so steep that all weights underflow: the score is that of the few on the wrong side
    sizes = [rows.per_person(size / size.max()) for size in (weight, *terms) if size.any()]
    largest = float(weight.max())
    gram = weighed.gram / largest if weighed.gram is not None and largest > _NORMAL else None
    leverage = largest_under(rows, weight / largest, gram, centre)
    return Working(min(float(size.sum() ** 2 / (size @ size)) for size in sizes), leverage)


def two_valued(values: Vector) -> tuple[float, float] | None:
    """The two values of a column that holds exactly two."""
    if not len(values) or len(np.unique(values[:64])) > 2:
        return None
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high and bool(((values == low) | (values == high)).all()) else None


def outcome_classes(rows: Rows, outcome: str, family: str) -> tuple[Cells, ...]:
    """The persons of each class of a two-valued outcome."""
    values = _classes(rows, outcome, family)
    if values is None:
        return ()
    sets = tuple(persons_of(rows.population.persons[rows.y == value]) for value in values)
    return (Cells((), (2,), sets, (outcome,), (outcome,)),)


def column_contributions(rows: Rows) -> Contributions:
    """The largest absolute contributions of persons to the sums of the raw design's columns."""
    top, total = np.zeros((2, rows.layout.width)), np.zeros(rows.layout.width)
    for position in range(rows.layout.width):
        sizes = rows.per_person(np.abs(rows.x[:, position]) * observed_of(rows, rows.layout.columns[position]))
        top[:, position] = largest_two(sizes[:, None])[:, 0]
        total[position] = sizes.sum()
    most = np.array([_most(column, rows) for column in rows.layout.columns])
    return Contributions(("sum",), top[0], top[1], total, most)


def outcome_contributions(rows: Rows, outcome: Factor | Survival, family: str) -> tuple[Contributions, ...]:
    """The largest absolute contributions of persons to the sum of the outcome, which every model's sums tell.

    Nothing where its levels are declared, whose persons are counted: the same at every site.
    """
    if isinstance(outcome, Survival) or family == "binomial":
        return ()
    variable = rows.population.variables[outcome.name]
    if variable.kind is Kind.BOOLEAN:
        return ()
    most = most_of_piece(Piece(outcome, outcome.render()), variable)
    return (_contributions("total of the outcome", rows, rows.y, most),)


def offset_contributions(rows: Rows, offset: str | None) -> tuple[Contributions, ...]:
    """The same of the sum of an offset, as the array `offset`."""
    if offset is None:
        return ()
    most = most_of_piece(Piece(Column(offset), offset), rows.population.variables[offset])
    return (_contributions("offset", rows, rows.offset, most),)


def weight_contributions(rows: Rows, weights: str | None, *, log: bool = False) -> tuple[Contributions, ...]:
    """The same of the sum of the weights, as the array `weight`; or of their logarithms, as `log_weight`."""
    if weights is None:
        return ()
    variable, factor = rows.population.variables[weights], Transform("log", weights) if log else Column(weights)
    most = most_of_piece(Piece(factor, weights), variable)
    return (_contributions("log_weight" if log else "weight", rows, np.log(rows.w) if log else rows.w, most),)


def observed(rows: Rows, piece: Piece) -> Vector | float:
    """0 in the rows where a place-holder stands for a value, of which an indicator tells, else 1."""
    lacking = rows.population.columns.get(indicator(piece.factor.name))
    number = rows.population.variables[piece.factor.name].kind is Kind.NUMBER
    return 1.0 if lacking is None or not number else 1.0 - lacking.astype(np.float64)


def observed_of(rows: Rows, column: tuple[Piece, ...]) -> Vector | float:
    """The same of a column of the design."""
    found: Vector | float = 1.0
    for piece in column:
        found = found * observed(rows, piece)
    return found


def _contributions(output: str, rows: Rows, values: Vector, most: float) -> Contributions:
    sizes = rows.per_person(np.abs(values))
    largest, second = (size.ravel() for size in largest_two(sizes[:, None]))
    return Contributions((output,), largest, second, np.array([sizes.sum()]), np.array([most]))


@dataclass(frozen=True)
class _Sets:
    """Sets of rows that turn into sets of persons; where no person has two rows they are the same."""

    persons: NDArray[np.uint32]
    same: bool

    @property
    def keys(self) -> NDArray[np.uint32]:
        return self.persons if self.same else np.arange(len(self.persons), dtype=np.uint32)

    def persons_of(self, keys: BitMap) -> BitMap:
        return keys if self.same else persons_of(self.persons[np.fromiter(keys, dtype=np.int64, count=len(keys))])


def _levels(rows: Rows, outcome: str, family: str, extra: tuple[str, ...]) -> dict[str, BitMap]:
    """Persons of every level of every factor, the outcome's classes among them, and of every pair of levels."""
    persons = rows.population.persons
    sets = _Sets(persons, len(persons_of(persons)) == len(persons))
    factors = list(_factors(rows, outcome, family, extra, sets.keys).values())
    levels = {label: sets.persons_of(keys) for factor in factors for label, keys in factor.items()}
    for first, second in combinations(factors, 2):
        for a, of_a in first.items():
            for b, of_b in second.items():
                levels[f"{a} & {b}"] = sets.persons_of(of_a & of_b)
    return levels | {label: sets.persons_of(keys) for label, keys in _between_knots(rows, sets.keys).items()}


def _between_knots(rows: Rows, keys: NDArray[np.uint32]) -> dict[str, BitMap]:
    """Rows between the knots of each spline: sums of two splines differ by the persons between their knots."""
    splines = {piece.factor for column in rows.layout.columns for piece in column if isinstance(piece.factor, Spline)}
    found: dict[str, BitMap] = {}
    for spline in sorted(splines, key=Spline.render):
        places = np.searchsorted(spline.knots, rows.population.numeric(spline.name), side="right")
        parts = persons_by_place(keys, places, len(spline.knots) + 1)
        found |= {f"{spline.render()} part {place}": part for place, part in enumerate(parts)}
    return found


def _factors(
    rows: Rows, outcome: str, family: str, extra: tuple[str, ...], keys: NDArray[np.uint32]
) -> Mapping[str, Mapping[str, BitMap]]:
    """Rows of each level by factor: what is declared to have levels, and whatever else holds two values here."""
    population = rows.population
    factors: dict[str, dict[str, BitMap]] = {}
    for name in _names(rows, extra):
        variable = population.variables[name]
        if variable.kind is not Kind.NUMBER:
            labels = levels_of(variable)
            sets = persons_by_place(keys, population.column(name), len(labels))
            factors[name] = {f"{name}={label}": part for label, part in zip(labels, sets, strict=True)}
    pairs = {term: (values, (0.0, 1.0)) for term, values in _indicators(rows).items()}
    if (classes := _classes(rows, outcome, family)) is not None:
        pairs[outcome] = (rows.y, classes)
    for name, values in _numbers(rows, outcome, family, extra).items():
        if (pair := two_valued(values)) is not None:
            pairs.setdefault(name, (values, pair))
    for name, (values, pair) in pairs.items():
        labelled = zip(("lower", "upper"), pair, strict=True)
        factors[name] = {f"{name}={word}": persons_of(keys[values == value]) for word, value in labelled}
    return factors


def _names(rows: Rows, extra: tuple[str, ...]) -> list[str]:
    """The variables of the design, without `site`."""
    return sorted(({piece.factor.name for column in rows.layout.columns for piece in column} | set(extra)) - {SITE})


def _numbers(rows: Rows, outcome: str, family: str, extra: tuple[str, ...]) -> dict[str, Vector]:
    """All that the model uses and that has no declared levels: the same names at every site."""
    population = rows.population
    found: dict[str, Vector] = {} if declared_classes(rows, outcome, family) else {outcome: rows.y}
    found |= {
        name: population.numeric(name) for name in _names(rows, extra) if population.variables[name].kind is Kind.NUMBER
    }
    for position, (column, term) in enumerate(zip(rows.layout.columns, rows.layout.terms, strict=True)):
        if not _plain(column) and not _indicates(column, rows):
            found[term] = rows.x[:, position]
    return found


def _indicators(rows: Rows) -> dict[str, Vector]:
    """Products of levels, which are 0 or 1 at every site."""
    columns = zip(rows.layout.columns, rows.layout.terms, strict=True)
    return {
        term: rows.x[:, position]
        for position, (column, term) in enumerate(columns)
        if not _plain(column) and _indicates(column, rows)
    }


def _indicates(column: tuple[Piece, ...], rows: Rows) -> bool:
    """Whether a column is 0 or 1 by declaration."""
    return all(
        isinstance(piece.factor, Category)
        or (isinstance(piece.factor, Column) and rows.population.variables[piece.factor.name].kind is Kind.BOOLEAN)
        for piece in column
    )


def _most(column: tuple[Piece, ...], rows: Rows) -> float:
    """The greatest absolute value of a row that the declarations allow; NaN where they do not say."""
    return float(np.prod([most_of_piece(piece, rows.population.variables[piece.factor.name]) for piece in column]))


def most_of_piece(piece: Piece, variable: Variable) -> float:
    factor = piece.factor
    if isinstance(factor, Category | Spline) or variable.kind is Kind.BOOLEAN:
        return 1.0
    if variable.low is None or variable.high is None:
        return float("nan")
    ends = np.array([variable.low, variable.high])
    with np.errstate(all="ignore"):
        if isinstance(factor, Transform):
            ends = {"log": np.log, "exp": np.exp, "sqrt": np.sqrt}[factor.function](ends)
        elif isinstance(factor, Power):
            ends = ends**factor.exponent
    most = float(np.abs(ends).max())
    return most if np.isfinite(most) and most > 0 else float("nan")


def _plain(column: tuple[Piece, ...]) -> bool:
    """The intercept, or one column as it is, whose levels are known from its variable."""
    return not column or (len(column) == 1 and isinstance(column[0].factor, Category | Column))


def _elsewhere(column: tuple[Piece, ...], rows: Rows) -> bool:
    """Whether a column is zero here because it belongs to another site."""
    population = rows.population
    own = population.variables[SITE].levels.index(population.site) if SITE in population.variables else None
    return any(piece.factor.name == SITE and piece.index != own for piece in column)


def declared_classes(rows: Rows, outcome: str, family: str) -> bool:
    """Whether the outcome has two classes at every site: a boolean, or 0 and 1 of a binomial family."""
    variable = rows.population.variables.get(outcome)
    boolean = variable is not None and variable.kind is Kind.BOOLEAN
    return boolean or (family == "binomial" and not ((rows.y > 0) & (rows.y < 1)).any())


def _classes(rows: Rows, outcome: str, family: str) -> tuple[float, float] | None:
    """The outcome's two classes; where they are declared they are 0 and 1, even where only one of them is here."""
    return (0.0, 1.0) if declared_classes(rows, outcome, family) else two_valued(rows.y)


def _events(rows: Rows, outcome: str, family: str) -> int | None:
    """Persons of the rarer class of a two-valued outcome, or with an event where the outcome counts events."""
    persons = rows.population.persons
    if len(rows.y) and rows.y.min() == rows.y.max():
        return 0  # nobody differs, which must look like a few who do
    if (classes := _classes(rows, outcome, family)) is not None:
        return min(len(persons_of(persons[rows.y == value])) for value in classes)
    return len(persons_of(persons[rows.y > 0])) if family in ("poisson", "negative_binomial") else None


def _rarest_pattern(rows: Rows, rank: int) -> int | None:
    """Persons of the rarest row of the design where there are no more distinct rows than parameters."""
    x = rows.x
    if not len(x) or len(np.unique(x[: 64 * (rank + 1)], axis=0)) > rank:
        return None
    distinct, codes = np.unique(x, axis=0, return_inverse=True)
    if len(distinct) > rank:
        return None
    return min(len(cell) for cell in persons_by_place(rows.population.persons, codes.ravel(), len(distinct)))

"""Multiple imputation of one site's rows by chained equations, from a seed that the rows themselves are.

Each column is drawn from a model of it given all others, in turns; a set is where the last turn ends. Numbers:
predictive mean matching (type 1, five donors), so that a value is one that was observed. Booleans and categories: a
multinomial logistic model whose coefficients are drawn around its mode.

Law: the draws are a function of the rows and of which columns are filled in from which, and nothing that an analyst can
choose or know: who knew them could solve the sums of the sets for single rows.

Source: S. van Buuren, K. Groothuis-Oudshoorn, J. of Statistical Software 45(3), 2011; R. J. A. Little, J. of Business &
Economic Statistics 6, 1988 (matching); I. R. White, R. Daniel, P. Royston, CSDA 54, 2010 (a prior against separation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import levels_of
from sojourn.analysis.population import Population
from sojourn.analysis.variable import SITE, Kind, Variable, Variables

Vector = NDArray[np.float64]
DONORS = 5
TURNS = 10
_RIDGE = 1e-5  # share of a column's square, so that columns that follow from others do no harm
_PRIOR = 0.01  # precision of the logistic slopes of columns of unit variance
_FREE = 1e-6  # precision of their intercepts
_STEPS = 30
_STILL = 1e-8


@dataclass(frozen=True)
class Chain:
    """What is drawn. columns: to fill in, in this order in each turn. names: all that predict, `columns` among them."""

    columns: tuple[str, ...]
    names: tuple[str, ...]

    def completed(self, population: Population, m: int) -> tuple[Population, ...]:
        """The population with the values of each of `m` sets; the first sets are the same whatever `m`.

        A column without any observed value here is filled with 0 or its first level: its evidence refuses it.
        """
        seed = self._seed(population)
        return tuple(self._set(population, np.random.PCG64DXSM([seed, number])) for number in range(m))

    def _set(self, population: Population, bits: np.random.PCG64DXSM) -> Population:
        rng = np.random.Generator(bits)
        absent = {name: population.absent[name] for name in self.columns if name in population.absent}
        rest = {name: rows for name, rows in population.absent.items() if name not in absent}
        values = {name: column.copy() if name in absent else column for name, column in population.columns.items()}
        for name, rows in absent.items():
            values[name][rows] = 0
        drawn = {name: rows for name, rows in absent.items() if not rows.all()}
        for name, rows in drawn.items():
            values[name][rows] = rng.choice(values[name][~rows], size=int(rows.sum()))
        for _ in range(TURNS if drawn else 0):
            for name, rows in drawn.items():
                others = [other for other in self.names if other not in (name, SITE)]
                x = _predictors(others, values, population.variables)
                values[name][rows] = _draw(x, values[name], rows, population.variables[name], rng)
        return replace(population, columns=values, absent=rest)

    def _seed(self, population: Population) -> int:
        digest = hashlib.sha256(repr(("sojourn imputation", population.site, self.columns, self.names)).encode())
        digest.update(population.persons.tobytes())
        for name in self.names:
            if name != SITE:
                digest.update(population.columns[name].tobytes())
                digest.update(population.absent.get(name, np.zeros(0, dtype=bool)).tobytes())
        return int.from_bytes(digest.digest(), "big")


def width_of(names: Sequence[str], variables: Variables) -> int:
    """The most coefficients that the model of one column may have: one a number or level of all others, or more where

    the column itself has more than two levels.
    """
    each = {name: 1 if variables[name].kind is Kind.NUMBER else len(levels_of(variables[name])) - 1 for name in names}
    total = sum(each.values())
    return max(((1 + total - own) * (own if own > 1 else 1) for own in each.values()), default=1)


def _predictors(names: Sequence[str], values: Mapping[str, NDArray[np.generic]], variables: Variables) -> Vector:
    """An intercept, and of each column that varies here a number, or its levels but the first, in standard units."""
    columns = [np.ones(len(next(iter(values.values()))))]
    for name in names:
        variable, column = variables[name], values[name]
        coded = [column] if variable.kind is Kind.NUMBER else [column == k for k in range(1, len(levels_of(variable)))]
        for one in coded:
            numbers = one.astype(np.float64)
            spread = float(numbers.std())
            if spread > 0:
                columns.append((numbers - numbers.mean()) / spread)
    return np.stack(columns, axis=1)


def _draw(
    x: Vector, values: NDArray[np.generic], rows: NDArray[np.bool_], variable: Variable, rng: np.random.Generator
) -> NDArray[np.generic]:
    if variable.kind is Kind.NUMBER:
        return _matched(x[~rows], values[~rows].astype(np.float64), x[rows], rng)
    return _classified(x[~rows], values[~rows], x[rows], rng).astype(values.dtype)


def _matched(x: Vector, y: Vector, wanted: Vector, rng: np.random.Generator) -> Vector:
    """Of each row that is wanted the value of one of the observed rows whose predicted means are nearest to its own."""
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] *= 1 + _RIDGE
    factor = np.linalg.cholesky(gram)
    mode = scipy.linalg.cho_solve((factor, True), x.T @ y)
    residual = float(((y - x @ mode) ** 2).sum())
    scale = np.sqrt(residual / rng.chisquare(max(len(y) - x.shape[1], 1)))
    noise = scipy.linalg.solve_triangular(factor.T, rng.standard_normal(size=(x.shape[1],)))
    seen, sought = x @ mode, wanted @ (mode + scale * noise)
    shuffled = rng.permutation(len(y))  # equal predictions have no order, so that none of them is a donor always
    order = shuffled[np.argsort(seen[shuffled], kind="stable")]
    near = np.searchsorted(seen[order], sought)[:, None] + np.arange(-DONORS, DONORS)
    inside = (near >= 0) & (near < len(y))
    candidates = order[np.clip(near, 0, len(y) - 1)]
    distance = np.where(inside, np.abs(seen[candidates] - sought[:, None]), np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")
    chosen = rng.integers(0, min(DONORS, len(y)), size=len(sought))
    place = nearest[np.arange(len(sought)), chosen]
    return np.asarray(y[candidates[np.arange(len(sought)), place]])


def _classified(x: Vector, y: NDArray[np.generic], wanted: Vector, rng: np.random.Generator) -> NDArray[np.generic]:
    """A level for each row that is wanted, of those that are observed here."""
    levels, codes = np.unique(y, return_inverse=True)
    if len(levels) == 1:
        return np.full(len(wanted), levels[0])
    mode, curvature = _logistic(x, codes, len(levels))
    factor = np.linalg.cholesky(curvature)
    drawn = mode + scipy.linalg.solve_triangular(factor.T, rng.standard_normal(size=(len(mode),)))
    chances = np.cumsum(_chances(wanted, drawn.reshape(len(levels) - 1, -1)), axis=1)
    places = (rng.random(len(wanted))[:, None] > chances[:, :-1]).sum(axis=1)
    return np.asarray(levels[places])


def _chances(x: Vector, slopes: Vector) -> Vector:
    """(rows, levels) from (levels - 1, columns); the first level has none."""
    linear = np.concatenate([np.zeros((len(x), 1)), x @ slopes.T], axis=1)
    return np.asarray(scipy.special.softmax(linear, axis=1))


def _logistic(x: Vector, codes: NDArray[np.intp], levels: int) -> tuple[Vector, Vector]:
    """The mode of the coefficients, level by level, under a weak normal prior; and the curvature there."""
    width, classes = x.shape[1], levels - 1
    prior = np.tile(np.append(_FREE, np.full(width - 1, _PRIOR)), classes)
    told = (codes[:, None] == np.arange(1, levels)).astype(np.float64)
    slopes = np.zeros(width * classes)
    value, gradient, curvature = _posterior(x, told, slopes, prior)
    for _ in range(_STEPS):
        step = scipy.linalg.solve(curvature, gradient, assume_a="pos")
        if float(step @ gradient) < _STILL:
            break
        size = 1.0
        while size > _STILL and (there := _posterior(x, told, slopes + size * step, prior))[0] < value:
            size /= 2
        if size <= _STILL:
            break
        slopes = slopes + size * step
        value, gradient, curvature = there
    return slopes, curvature


def _posterior(x: Vector, told: Vector, slopes: Vector, prior: Vector) -> tuple[float, Vector, Vector]:
    """Logarithm of the posterior, its gradient and minus its second derivatives."""
    classes, width = told.shape[1], x.shape[1]
    linear = np.concatenate([np.zeros((len(x), 1)), x @ slopes.reshape(classes, width).T], axis=1)
    value = float((told * linear[:, 1:]).sum() - scipy.special.logsumexp(linear, axis=1).sum())
    chances = np.asarray(scipy.special.softmax(linear, axis=1))[:, 1:]
    curvature = np.diag(prior)
    for a in range(classes):
        for b in range(classes):
            weight = chances[:, a] * ((a == b) - chances[:, b])
            curvature[a * width : (a + 1) * width, b * width : (b + 1) * width] += x.T @ (x * weight[:, None])
    gradient = ((told - chances).T @ x).ravel() - prior * slopes
    return value - float(prior @ slopes**2) / 2, gradient, curvature

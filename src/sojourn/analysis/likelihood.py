"""Maximum likelihood over rounds: a damped Newton search that sees only sums over sites.

Source: W. H. Press et al., Numerical Recipes, 3rd ed. 2007, ch. 9 and 15; S. Boyd, L. Vandenberghe, Convex
Optimization, 2004, ch. 9.5 (Newton decrement).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import scipy  # its parts load when they are first used
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.matrix import INTERCEPT
from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
CONVERGED = 1e-10  # Newton decrement, relative to |log-likelihood| + 1
NEAR = 1e-14  # Newton decrement at which the information, and so the standard errors, hold to about 1e-8
EXACT = 1e-21  # Newton decrement at 4.5e-11 standard errors from the maximum
FAR = 2.0  # twice the Newton decrement above which steps are from the expected information, as in scoring
SLOW = 0.3  # share of the gain before, above which scoring makes no headway
CLOSE = 0.02  # twice the Newton decrement under which the change of a curvature is foreseen
COLLINEAR = 1e-11  # share of a column's variation that the columns before it leave
LASTING = 1e-6  # most that the last step's decrement may be in the measure of the first point
_ROUNDING = 32 * np.finfo(float).eps


@dataclass(frozen=True)
class Point:
    """What the sites gave at one value of the coefficients.

    valid: whether the likelihood exists there. information: expected, for standard errors and the decrement.
    curvature: observed information, for the steps; the same matrix under a canonical link. more: whatever else is
    wanted at the maximum.
    """

    valid: bool
    log_likelihood: float
    score: Vector
    information: Vector
    curvature: Vector
    more: Vector = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Fit:
    """The maximum. covariance: inverse information there; point: the last asked for; decrement: of the last step.

    more: as of the points, at the maximum.
    """

    coefficients: Vector
    covariance: Vector
    point: Point
    decrement: float
    more: Vector = field(default_factory=lambda: np.zeros(0))


class Endless(ConvergenceError):
    """The likelihood rises without end along a coefficient, whose `term` is named."""

    def __init__(self, term: str) -> None:
        super().__init__(
            f"The estimate of {term} grows without end: it separates the outcomes (no finite maximum).",
            remedy="Leave the term out, merge its levels, use a larger population, or use `firth` (logit and Poisson).",
        )
        self.term = term


@dataclass(frozen=True)
class System:
    """Solves the equations of one model, with columns scaled to one.

    terms: names of the coefficients. floor: for each column what its diagonal element may be from rounding alone.
    """

    terms: tuple[str, ...]
    floor: Vector

    @classmethod
    def of(cls, terms: tuple[str, ...], weight: float, centre: Vector) -> System:
        """A model whose columns were centred, with this total weight of the rows."""
        return cls(terms, weight * (_ROUNDING * centre) ** 2)

    def dependent(self, matrix: Vector) -> tuple[str, ...]:
        """Terms whose column is zero, constant, or a combination of the columns before it."""
        rest, scale = _scaled(matrix, self.floor)
        found = []
        for j, term in enumerate(self.terms):
            if scale[j] == 0 or rest[j, j] < COLLINEAR:
                found.append(term)
                continue
            rest[j + 1 :, j + 1 :] -= np.outer(rest[j + 1 :, j], rest[j, j + 1 :]) / rest[j, j]
        return tuple(found)

    def solve(self, matrix: Vector, right: Vector) -> Vector:
        """matrix^-1 right; LinAlgError where the matrix is not positive definite."""
        scaled, scale = _scaled(matrix, 0.0)
        columns = right.reshape(len(scale), -1) * scale[:, None]
        solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(scaled), columns) * scale[:, None]
        return np.asarray(solved).reshape(right.shape)


def start(system: System, gram: Vector, moment: Vector) -> Vector:
    """One weighted least squares step; ConvergenceError names the terms whose columns are collinear."""
    if names := system.dependent(gram):
        raise ConvergenceError(
            f"Not every coefficient exists: {_listed(names)} does not vary or follows from the terms before it.",
            remedy="Leave these terms out, or merge levels that hold nobody.",
        )
    return system.solve(gram, moment)


def maximise(system: System, first: Vector, within: Vector, rounds: int) -> Generator[Vector, Point, Fit]:
    """Yields coefficients, receives the sites' `Point` there, returns the `Fit`.

    A step that lowers the likelihood or leaves its domain is halved; `within` is where the first one is halved
    towards. The search ends with a step from `NEAR` that leaves less than `EXACT`, or one round after the Newton
    decrement fell below `CONVERGED` of the log-likelihood. ConvergenceError after `rounds`, or where the information
    vanishes.
    """
    origin, coefficients, search = within, first, _Search(system)
    for _ in range(rounds):
        point = yield coefficients
        if not point.valid or point.log_likelihood < search.least():
            coefficients = (origin + coefficients) / 2
            continue
        step, finished = search.step(coefficients, point)
        if finished:
            return Fit(coefficients + step, search.covariance(), point, search.decrement, search.more())
        origin, coefficients = coefficients, coefficients + step
    search.fail()


class _Search:
    """What is remembered between the points of one search."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.first: Point | None = None
        self.last: Point | None = None
        self.before: Point | None = None
        self.place: Vector | None = None
        self.moved: Vector | None = None
        self.latest: Vector | None = None
        self.plain: Vector | None = None
        self.decrement = np.inf
        self.gain = np.inf

    def least(self) -> float:
        """The log-likelihood under which a step is halved: it allows for rounding."""
        best = -np.inf if self.last is None else self.last.log_likelihood
        return best - CONVERGED * (abs(best) + 1) if np.isfinite(best) else best

    def step(self, coefficients: Vector, point: Point) -> tuple[Vector, bool]:
        """The next step, and whether the search ends with it."""
        moved = None if self.place is None else coefficients - self.place
        self.first, self.last, self.before, self.place, self.moved = (
            self.first or point,
            point,
            self.last,
            coefficients,
            moved,
        )
        try:
            plain = self.system.solve(point.information, point.score)
        except LinAlgError:
            self.fail()
        self.latest, self.plain, before = self._bent(point, plain), plain, self.decrement
        self.decrement = float(point.score @ plain) / 2
        unit = abs(point.log_likelihood) + 1
        # What quadratic convergence leaves after this step.
        left = self.decrement * (min(self.decrement / before, 1.0) ** 2 if 0 < before < np.inf else 1.0)
        polished = before < CONVERGED * unit and self.decrement < 1e-16 * unit
        finished = polished or (self.decrement < NEAR and left < EXACT)
        return self.latest, finished and self._lasting() < LASTING

    def _lasting(self) -> float:
        """The decrement of the last step in the measure of the first point.

        Under separation the information vanishes with the decrement, while the steps never become shorter.
        """
        if self.first is None or self.plain is None:
            return np.inf
        return float(self.plain @ self.first.information @ self.plain) / 2

    def covariance(self) -> Vector:
        """Inverse information at the end of the last step, by the change that the step before it made."""
        if self.last is None or self.latest is None:
            raise ValueError("no step was made")
        information = self.last.information
        one = np.eye(len(self.latest))
        if self.before is None:
            return self.system.solve(information, one)
        try:
            return self.system.solve(
                information + self._share(self.latest) * (information - self.before.information), one
            )
        except LinAlgError:
            return self.system.solve(information, one)

    def more(self) -> Vector:
        """What else was summed, at the end of the last step, by the change that the step before it made."""
        if self.last is None or self.latest is None:
            raise ValueError("no step was made")
        now = self.last.more
        return now if self.before is None else now + self._share(self.latest) * (now - self.before.more)

    def _bent(self, point: Point, plain: Vector) -> Vector:
        """A Newton step that foresees how the curvature changes on its way (Halley's), from the last two points.

        It falls back to the expected information where the curvature is not positive definite, and far off, where it
        misleads away from the canonical link, unless steps by that information overshoot one another; the change of a
        curvature is foreseen close by alone.
        """
        gain, same = float(point.score @ plain), np.array_equal(point.curvature, point.information)
        slow = gain > SLOW * self.gain
        self.gain = gain
        if gain > FAR and not same and not slow:
            return plain
        try:
            step = self.system.solve(point.curvature, point.score)
            if self.before is not None and (same or gain < CLOSE):
                for _ in range(3):
                    change = self._share(step) * (point.curvature - self.before.curvature)
                    step = self.system.solve(point.curvature + change / 2, point.score)
        except LinAlgError:
            return plain
        return step

    def _share(self, step: Vector) -> float:
        """How much of the last move this step is, along that move; between -1 and 1."""
        if self.last is None or self.moved is None:
            return 0.0
        along = self.last.information @ self.moved
        length = float(self.moved @ along)
        return float(np.clip(step @ along / length, -1.0, 1.0)) if length > 0 else 0.0

    def fail(self) -> NoReturn:
        """Say what kept the search from converging."""
        if self.first is None or self.last is None:
            raise ConvergenceError(
                "No coefficients were found at which the mean is within its bounds for every row.",
                remedy="Use the canonical link, or fewer terms.",
            )
        if self.plain is not None and self._lasting() > max(LASTING, 1e3 * self.decrement):
            run = np.abs(self.plain) * np.sqrt(np.diag(self.first.information))
            slopes = [j for j, term in enumerate(self.system.terms) if term != INTERCEPT]
            worst = self.system.terms[max(slopes or [0], key=lambda j: run[j])]
            raise Endless(worst)
        raise ConvergenceError(
            "The model did not converge in the rounds that it may take.",
            remedy="Use the canonical link or fewer terms, and look for terms that are nearly collinear.",
        )


def _scaled(matrix: Vector, floor: Vector | float) -> tuple[Vector, Vector]:
    """The matrix with a diagonal of ones, and the scale of each column: 0 where its diagonal is not above the floor."""
    diagonal = np.diag(matrix)
    positive = diagonal > floor
    scale = np.where(positive, 1 / np.sqrt(np.where(positive, diagonal, 1.0)), 0.0)
    return matrix * np.outer(scale, scale), scale


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")

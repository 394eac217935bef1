"""The coordinator's part of an elastic net: penalised fits from sums, all lambdas and all but each site at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Partial
from sojourn.analysis.penalised import Penalty, minimise
from sojourn.analysis.statistic import Ask, Estimate, Gathered
from sojourn.errors import ConvergenceError
from sojourn.statistics.coefficients import real, uncentred, whole

Vector = NDArray[np.float64]
Searched = tuple[Vector, Vector, list[Vector], int, float]
DONE = 1e-12  # Newton decrement, in units of the log-likelihood, from which the last step is taken
_VARIES = 1e-11  # least share of a column's squares about its mean that is variation and not rounding


@dataclass(frozen=True)
class Fold:
    """Sums of the rows that are fitted to, around one centre: of all sites, or of all but one, whose own are `out`.

    n: rows, or the sum of their weights.
    """

    n: float
    gram: Vector
    moment: Vector
    square: float
    out: Fold | None = None
    site: str = ""

    @classmethod
    def of(cls, n: float, products: Partial) -> Fold:
        """Of everybody, or of one site."""
        return cls(n, real(products["gram"]), real(products["moment"]), float(products["square"][0]))

    def without(self, out: Fold, site: str) -> Fold:
        """All but one site."""
        rest = (self.gram - out.gram, self.moment - out.moment, self.square - out.square)
        return Fold(self.n - out.n, *rest, out, site)

    def scale(self, standardise: bool) -> Vector:
        """Standard deviations (over n) of the columns; 1 for the intercept, 0 for a column that does not vary."""
        squares = np.diag(self.gram) / self.n
        variance = squares - (self.gram[0] / self.n) ** 2
        varies = variance > _VARIES * squares
        scale = np.where(varies, np.sqrt(np.where(varies, variance, 1.0)) if standardise else 1.0, 0.0)
        scale[0] = 1.0
        return np.asarray(scale)

    def left_over(self, lines: Vector) -> Vector:
        """The sum of squares that each line of coefficients leaves of these rows."""
        return np.array([self.square - 2 * self.moment @ b + b @ self.gram @ b for b in lines])


@dataclass(frozen=True)
class Path:
    """Everything but the sums: terms, the means of columns and outcome, who is fitted to, and the penalties."""

    terms: tuple[str, ...]
    centre: Vector
    mean: float
    folds: list[Fold]
    lambdas: tuple[float, ...]
    alpha: float
    standardise: bool

    def penalty(self, place: int) -> Penalty:
        """Of one lambda; of all terms but the intercept."""
        size = self.lambdas[place]
        return Penalty(size * self.alpha, size * (1 - self.alpha), np.arange(len(self.terms)) > 0)

    def solved(self, fold: Fold, place: int, gram: Vector, moment: Vector, first: Vector) -> Vector:
        """Coefficients of centred columns under one lambda, of the quadratic form of these sums."""
        scale = fold.scale(self.standardise)
        there, safe = scale > 0, np.where(scale > 0, scale, 1.0)
        form = np.where(np.outer(there, there), gram / np.outer(safe, safe) / fold.n, 0.0)
        pull = np.where(there, moment / safe / fold.n, 0.0)
        return np.where(there, minimise(form, pull, self.penalty(place), first * safe) / safe, 0.0)

    def quadratic(self, fold: Fold, weight: float = 1.0) -> Vector:
        """The path of a linear model, or of rows that all weigh the same: (lambdas, columns)."""
        lines, b = [], np.zeros(len(self.terms))
        for place in range(len(self.lambdas)):
            b = self.solved(fold, place, fold.gram * weight, fold.moment, b)
            lines.append(b)
        return np.array(lines)

    def logistic(self, fits: int, rounds: int, shift: float | None = None) -> Generator[Ask, Gathered, Searched]:
        """Newton rounds, all lines in each; the last one is at the answer. fits: how many lines a round has.

        shift: mean of an offset, where there is one; the last line is then of the intercept alone. Returns coefficients
        and deviances of all sites, the deviances of those left out, the rounds, and the deviance of the last line.
        """
        start, mean = np.zeros(len(self.terms)), self.mean
        start[0] = np.log(mean / (1 - mean)) - (shift or 0.0)
        alone, settled = start.copy(), shift is None
        lines = np.concatenate([start + self.quadratic(fold, mean * (1 - mean)) for fold in self.folds])
        searches = [_Search(self, fold, place) for fold in self.folds for place in range(len(self.lambdas))]
        for used in range(1, rounds + 1):
            padded = np.concatenate([lines, np.tile(lines[:1], (fits - len(lines), 1))])  # for sites that are not there
            padded[-1] = padded[-1] if shift is None else alone
            gathered = yield Ask("newton", {"centre": self.centre, "coefficients": padded})
            summed = whole(gathered)
            if settled and all(search.done for search in searches):
                return (
                    lines[: len(self.lambdas)],
                    real(summed["deviance"])[: len(self.lambdas)],
                    [
                        real(gathered.by_site[fold.site]["deviance"])[self._lines_of(number)]
                        for number, fold in enumerate(self.folds)
                        if fold.out
                    ],
                    used,
                    float(summed["deviance"][-1]),
                )
            if not settled:
                pull, curve = float(summed["score"][-1, 0]), float(summed["information"][-1, 0, 0])
                alone[0] += pull / curve
                settled = pull**2 / curve < DONE
            for number, search in enumerate(searches):
                own = gathered.by_site[search.fold.site] if search.fold.out else None
                lines[number] = search.step(lines[number], number, summed, own)
        raise ConvergenceError(
            "The path did not converge in the rounds that it may take.",
            remedy="Name larger lambdas, or use fewer terms.",
        )

    def _lines_of(self, number: int) -> slice:
        return slice(number * len(self.lambdas), (number + 1) * len(self.lambdas))

    def estimate(
        self, lines: Vector, deviance: Vector, errors: Sequence[Vector], null: float, family: str, n: int, used: int
    ) -> Estimate:
        """A row a lambda and term, on the scale of the raw columns. n: rows."""
        turn = uncentred(self.centre, True)
        raw = lines @ turn.T
        raw[:, 0] += self.mean if family == "gaussian" else 0.0
        kept = (lines[:, 1:] != 0).sum(axis=1)
        rows = tuple(
            (size, term, value)
            for size, line in zip(self.lambdas, raw.tolist(), strict=True)
            for term, value in zip(self.terms, line, strict=True)
        )
        fit = n * np.log(deviance / n) if family == "gaussian" else deviance
        facts: dict[str, Any] = {
            "n": n,
            "lambdas": list(self.lambdas),
            "nonzero": kept.tolist(),
            "deviance_ratio": (1 - deviance / null).tolist(),
            "lambda_bic": self.lambdas[int(np.argmin(fit + np.log(n) * kept))],
            "rounds_used": used,
        }
        return Estimate(("lambda", "term"), ("estimate",), rows, facts | self._chosen(errors, family))

    def _chosen(self, errors: Sequence[Vector], family: str) -> dict[str, Any]:
        """The mean error in sites that were left out, its standard error, and the lambdas of glmnet's two rules."""
        outs = [fold.out.n for fold in self.folds if fold.out]
        if not outs:
            return {}
        weight, each = np.array(outs) / sum(outs), np.array([e / n for e, n in zip(errors, outs, strict=True)])
        mean = weight @ each
        spread = np.sqrt(weight @ (each - mean) ** 2 / (len(outs) - 1))
        best = int(np.argmin(mean))
        within = int(np.argmax(mean <= mean[best] + spread[best]))  # the first is the largest lambda
        measure = "squared error" if family == "gaussian" else "deviance"
        curve = {"measure": measure, "mean": mean.tolist(), "std_error": spread.tolist()}
        return {"cross_validation": curve, "lambda_min": self.lambdas[best], "lambda_1se": self.lambdas[within]}


@dataclass
class _Search:
    """The search of one line of coefficients."""

    path: Path
    fold: Fold
    place: int
    origin: Vector = field(default_factory=lambda: np.zeros(0))
    value: float = np.inf
    done: bool = False

    def step(self, b: Vector, number: int, summed: Partial, out: Partial | None) -> Vector:
        """The next coefficients, halfway back where the last step led up."""
        deviance, score, information = (
            real(summed[name])[number] - (0.0 if out is None else real(out[name])[number])
            for name in ("deviance", "score", "information")
        )
        value = deviance / 2 / self.fold.n + self.path.penalty(self.place).of(
            b * self.fold.scale(self.path.standardise)
        )
        if not value <= self.value + 1e-10 * (abs(self.value) + 1):
            return (self.origin + b) / 2
        self.origin, self.value = b, value
        found = self.path.solved(self.fold, self.place, information, information @ b + score, b)
        self.done = bool((found - b) @ information @ (found - b) < DONE)
        return found

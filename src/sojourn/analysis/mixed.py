"""Linear mixed models from sums over clusters: the profiled likelihood of the random effects' covariance.

    y = X b + Z u + e within each cluster,  u ~ N(0, s^2 G),  e ~ N(0, s^2 W^-1)

With K = [X y]'W[X y], C = Z'W[X y] and S = Z'WZ of each cluster, everything that the likelihood needs of
V = W^-1 + Z G Z' is a sum over clusters, whichever site they lie in:

    Q(G) = sum of K - C' P C,  P = G (I + S G)^-1;   log |V| = sum of log |I + S G| - log |W|

and so are the derivatives by the elements of G. Beyond these sums nobody needs a cluster's own.

Source: D. Bates, M. Maechler, B. Bolker, S. Walker, J. of Statistical Software 67(1), 2015; M. J. Lindstrom, D. M.
Bates, J. of the American Statistical Association 83, 1988.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
NEAR = 1e-9  # Newton decrement from which the last step is taken: what it leaves is far below rounding
_REACH = 0.8  # longest step of an element of the factor, in lengths of its row: never to 0, where it has no slope
_SAME = 1e-9  # of the criterion, relative: less is rounding


@dataclass(frozen=True)
class Blocks:
    """products: K of all together, (p + 1, p + 1). cross: C, (clusters, q, p + 1). within: S, (clusters, q, q)."""

    products: Vector
    cross: Vector
    within: Vector


@dataclass(frozen=True)
class Profile:
    """Q, log |V|, and their first and second derivatives by the elements on and below the diagonal of G.

    first (m, p + 1, p + 1), second (m, m, p + 1, p + 1); volume: log |I + S G| (1,), its slope (m,) and bend (m, m).
    """

    quadratic: Vector
    first: Vector
    second: Vector
    volume: Vector
    slope: Vector
    bend: Vector

    def arrays(self) -> dict[str, Vector]:
        """By name, each pair of elements once."""
        pairs = np.tril_indices(len(self.slope))
        named = {"quadratic": self.quadratic, "first": self.first, "second": self.second[pairs]}
        return named | {"volume": self.volume, "slope": self.slope, "bend": self.bend[pairs]}

    @classmethod
    def of(cls, arrays: Mapping[str, Vector]) -> Profile:
        """From `arrays`, or a sum of them."""
        m = len(arrays["slope"])
        place = np.zeros((m, m), dtype=np.int64)
        place[np.tril_indices(m)] = np.arange(m * (m + 1) // 2)
        place = np.maximum(place, place.T)
        packed = {name: arrays[name][place] for name in ("second", "bend")}
        return cls(
            arrays["quadratic"], arrays["first"], packed["second"], arrays["volume"], arrays["slope"], packed["bend"]
        )

    def moved(self, change: Vector) -> Profile:
        """Where the elements of G are others by a little."""
        first = self.first + np.tensordot(self.second, change, axes=([1], [0]))
        half = np.tensordot(change, self.first + first, axes=([0], [0])) / 2
        slope = self.slope + self.bend @ change
        volume = self.volume + (self.slope + slope) @ change / 2
        return Profile(self.quadratic + half, first, self.second, volume, slope, self.bend)


def elements(q: int) -> list[tuple[int, int]]:
    """Places on and below the diagonal."""
    return [(i, j) for i in range(q) for j in range(i + 1)]


def variances(q: int) -> list[int]:
    """Where the diagonal stands among `elements`."""
    return [number for number, (i, j) in enumerate(elements(q)) if i == j]


def basis(q: int) -> Vector:
    """What a unit of each element adds to a symmetric matrix, (m, q, q)."""
    found = np.zeros((len(elements(q)), q, q))
    for number, (i, j) in enumerate(elements(q)):
        found[number, i, j] = found[number, j, i] = 1.0
    return found


def shapes(p: int, q: int) -> dict[str, tuple[int, ...]]:
    """Of `Profile.arrays`, for p coefficients and q random effects."""
    m = len(elements(q))
    pairs, form = m * (m + 1) // 2, (p + 1, p + 1)
    first: dict[str, tuple[int, ...]] = {"quadratic": form, "first": (m, *form), "second": (pairs, *form)}
    return first | {"volume": (1,), "slope": (m,), "bend": (pairs,)}


def profile(blocks: Blocks, covariance: Vector) -> Profile:
    """The sums over these clusters at one G."""
    q, units = len(covariance), basis(len(covariance))
    turn = np.linalg.inv(np.eye(q) + covariance @ blocks.within)  # (I + G S)^-1 of each cluster
    shrunk = np.swapaxes(turn, 1, 2) @ blocks.cross
    rest = blocks.within @ turn
    fitted = np.einsum("gij,gil->jl", blocks.cross, covariance @ shrunk, optimize=True)
    first = -np.einsum("gij,aik,gkl->ajl", shrunk, units, shrunk, optimize=True)
    both = np.einsum("aik,gkl,blm->gabim", units, rest, units)
    second = np.einsum("gij,gabim,gml->abjl", shrunk, both + np.swapaxes(both, 1, 2), shrunk, optimize=True)
    sign, size = np.linalg.slogdet(np.eye(q) + covariance @ blocks.within)
    if (sign <= 0).any():
        raise ValueError("not a covariance")
    return Profile(
        quadratic=blocks.products - (fitted + fitted.T) / 2,
        first=(first + np.swapaxes(first, 1, 2)) / 2,
        second=(second + np.swapaxes(second, 2, 3)) / 2,
        volume=np.array([size.sum()]),
        slope=np.einsum("aik,gki->a", units, rest),
        bend=-np.einsum("gabim,gmi->ab", both, rest),
    )


@dataclass(frozen=True)
class Criterion:
    """Minus twice the log-likelihood, profiled over the coefficients and, where there is one, the residual variance.

    n: rows. restricted: REML. scale: the residual variance where it is known, None where it is estimated.
    """

    n: int
    restricted: bool
    scale: float | None = None

    def freedom(self, p: int) -> int:
        """What the residual sum of squares is divided by."""
        return self.n - p if self.restricted else self.n

    def at(self, sums: Profile) -> tuple[float, Vector, Vector]:
        """Value, slope and bend by the elements of G; LinAlgError where the coefficients do not exist."""
        q = sums.quadratic
        p = len(q) - 1
        inverse = np.linalg.inv(q[:p, :p])
        lean = np.append(-inverse @ q[:p, p], 1.0)
        left = float(lean @ q @ lean)
        towards = sums.first @ lean  # (m, p + 1)
        by = towards @ lean
        twice = sums.second @ lean @ lean - 2 * towards[:, :p] @ inverse @ towards[:, :p].T
        value, slope, bend = float(sums.volume[0]), sums.slope, sums.bend
        if self.restricted:
            sign, size = np.linalg.slogdet(q[:p, :p])
            if sign <= 0:
                raise LinAlgError
            turned = inverse @ sums.first[:, :p, :p]
            value, slope = value + float(size), slope + np.einsum("aii->a", turned)
            own = np.einsum("abij,ji->ab", sums.second[:, :, :p, :p], inverse)
            bend = bend + own - np.einsum("aij,bji->ab", turned, turned)
        if self.scale is not None:
            return value + left / self.scale, slope + by / self.scale, bend + twice / self.scale
        if not left > 0:
            raise LinAlgError
        df = self.freedom(p)
        bend = bend + df * (twice / left - np.outer(by, by) / left**2)
        return value + df * (np.log(2 * np.pi * left / df) + 1), slope + df * by / left, bend


@dataclass(frozen=True)
class Maximum:
    """G as factor times its transpose, the sums there, the criterion, and the Newton decrement of the last step."""

    factor: Vector
    sums: Profile
    value: float
    decrement: float


def search(criterion: Criterion, factor: Vector, rounds: int) -> Generator[Vector, Profile, Maximum]:
    """Yields G, receives the sums there. Newton steps in a triangular factor of G, so that G stays a covariance.

    A step that leads up is halved; one about as long as a row of the factor, or of the first factor, is shortened
    before it is tried. Where the criterion bends down, the step goes against its slope all the same.
    """
    q, origin, best, unit = len(factor), factor, np.inf, np.abs(np.diag(factor))
    for _ in range(rounds):
        sums = yield factor @ factor.T
        try:
            value, slope, bend = criterion.at(sums)
        except LinAlgError:
            value = np.nan
        if not value <= best + (_SAME * (abs(best) + 1) if np.isfinite(best) else 0.0):
            factor = (origin + factor) / 2
            continue
        step, decrement, _ = newton(factor, slope, bend)
        origin, best = factor, min(value, best)
        ahead = outright(factor, slope, bend)
        reach = _REACH * np.maximum(unit, np.linalg.norm(factor, axis=1))[:, None]
        factor = factor + step / max(1.0, float(np.abs(step / reach).max())) if ahead is None else ahead
        if decrement < NEAR and ahead is None:
            change = np.array([(factor @ factor.T - origin @ origin.T)[place] for place in elements(q)])
            last = sums.moved(change)
            return Maximum(factor, last, criterion.at(last)[0], decrement)
    raise ConvergenceError(
        "The mixed model did not converge in the rounds that it may take.",
        remedy="Use fewer random slopes, or centre and scale their columns.",
    )


def outright(factor: Vector, slope: Vector, bend: Vector) -> Vector | None:
    """The factor of G after a Newton step in G itself, where that bends up and leads far away from a factor near 0.

    There a step of the factor, by which the criterion bends down, could but double it. None elsewhere.
    """
    q = len(factor)
    try:
        np.linalg.cholesky(bend)
        moved = np.linalg.solve(bend, slope)
        grown = factor @ factor.T - np.tensordot(moved, basis(q), axes=(0, 0))
        found = np.linalg.cholesky(grown)
    except LinAlgError:
        return None
    away = np.diag(grown) > 4 * np.diag(factor @ factor.T)
    return np.asarray(found) if away.any() else None


def newton(factor: Vector, slope: Vector, bend: Vector) -> tuple[Vector, float, Vector]:
    """A step of the factor by the chain rule from G, its decrement, and the bend of the factor's elements."""
    q = len(factor)
    places = elements(q)
    units = np.zeros((len(places), q, q))
    for number, place in enumerate(places):
        units[number][place] = 1.0
    moves = units @ factor.T + factor @ np.swapaxes(units, 1, 2)
    jacobian = np.array([moves[:, i, j] for i, j in places])  # (m of G, m of the factor)
    pairs = np.einsum("aik,bjk->abij", units, units)
    curl = np.array([(pairs + np.swapaxes(pairs, 0, 1))[:, :, i, j] for i, j in places])
    gradient = jacobian.T @ slope
    hessian = jacobian.T @ bend @ jacobian + np.tensordot(slope, curl, axes=([0], [0]))
    sizes, axes = np.linalg.eigh(hessian)
    floor = 1e-8 * max(float(np.abs(sizes).max()), np.finfo(float).tiny)
    sizes = np.maximum(np.abs(sizes), floor)
    pulled = axes.T @ gradient
    step = triangle(-(axes @ (pulled / sizes)), q)
    return step, float(pulled @ (pulled / sizes)) / 2, (axes * sizes) @ axes.T


def triangle(values: Vector, q: int) -> Vector:
    """The lower triangle with these elements."""
    found = np.zeros((q, q))
    for place, value in zip(elements(q), values, strict=True):
        found[place] = value
    return found

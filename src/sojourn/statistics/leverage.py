"""Leverage: how much of a fitted value is one person's own outcome (Belsley, Kuh, Welsch, 1980, ch. 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
_RANK = 1e-9  # singular values under this share of the largest are zero
_CLEAR = 1e-6  # eigenvalues of the cross-products above this share lose no digit that matters
_SHIFT = 1e-3  # least share of a column's squares that may be left when they are moved to another centre
_NEAR = 0.8  # persons whose bound is above this share of the largest bound are looked at first
_FEW = 0.25  # share of the rows above which one pass over all of them is cheaper
_SLACK = 1 + 1e-6  # of a bound, for its rounding


def largest_leverage(rows: Rows) -> tuple[float, int]:
    """The largest leverage of a person (of all its rows together) under the prior weights, and the design's rank."""
    known = rows.leverages
    return (float(rows.per_person(known.of_row).max()) if len(rows.x) else 0.0), known.rank


def largest_under(rows: Rows, weight: Vector, gram: Vector | None, centre: Vector) -> float:
    """The same under working weights. gram: the design's weighted cross-products around `centre`, where they are known.

    With the cross-products G of the prior weights v and H of these weights w, row i has the leverage
    w_i x_i' H^-1 x_i <= (w_i / v_i) (v_i x_i' G^-1 x_i) L, L the largest eigenvalue of H^-1 G. So only persons whose
    bound reaches the largest leverage found are looked at; the result is the largest of all.
    """
    found = None if gram is None else _from_bounds(rows, weight, gram, centre)
    if found is None:
        found = float(rows.per_person(Leverages.under(rows, weight).of_row).max())
    return found


def largest_beside(rows: Rows, weight: Vector, centre: Vector, total: Vector) -> float:
    """The largest leverage of a person here in a design of more sites; infinite where it cannot be told.

    total: the cross-products of all sites together, around `centre`, under the weights of a round before.
    """
    if not len(rows.x):
        return 0.0
    x = rows.x - centre
    try:
        of_row = weight * np.einsum("ij,ji->i", x, np.linalg.solve(total, x.T))
    except LinAlgError:
        return np.inf
    largest = float(np.abs(rows.per_person(of_row)).max())
    return largest if np.isfinite(largest) else np.inf


@dataclass(frozen=True)
class Leverages:
    """The leverage of each row and the design's rank; the cross-products and their turn where these were enough."""

    of_row: Vector
    rank: int
    products: Products | None = None
    turn: Vector = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def under(cls, rows: Rows, w: Vector) -> Leverages:
        """Of all rows under these weights."""
        if not len(rows.x):
            return cls(np.zeros(0), 0)
        products = Products.of(rows, w)
        turn = products.turn(_floor(rows, w))
        if turn is None:
            return cls(*_from_rows(rows, w))
        of_row = np.empty(len(w))
        for part in rows.blocks():
            of_row[part] = products.leverage(turn, rows.x[part], w[part])
        return cls(of_row, turn.shape[1] + products.constant, products, turn)


@dataclass(frozen=True)
class Products:
    """A design's weighted cross-products around its weighted mean; `constant`: an intercept is among the columns."""

    total: float
    centre: Vector
    gram: Vector
    constant: bool

    @classmethod
    def of(cls, rows: Rows, w: Vector) -> Products:
        """In one pass over blocks of rows."""
        x, constant = rows.x, () in rows.layout.columns
        total = float(w.sum())
        centre = (w @ x) / total if constant else np.zeros(x.shape[1])
        gram = np.zeros((x.shape[1], x.shape[1]))
        for part in rows.blocks():
            block = (x[part] - centre) * np.sqrt(w[part])[:, None]
            gram += block.T @ block
        return cls(total, centre, gram, constant)

    @classmethod
    def moved(cls, rows: Rows, total: float, gram: Vector, centre: Vector) -> Products | None:
        """From cross-products around another centre; None where too many digits would be lost on the way."""
        if () not in rows.layout.columns:
            return None if centre.any() else cls(total, centre, gram, False)
        place = rows.layout.columns.index(())
        sums = gram[place]
        own = gram - np.outer(sums, sums) / total
        own[place] = own[:, place] = 0.0
        clear = np.diag(own) >= _SHIFT * np.diag(gram)
        clear[place] = True
        return cls(total, centre + sums / total, own, True) if clear.all() and abs(centre[place]) == 0 else None

    def turn(self, floor: Vector) -> Vector | None:
        """What turns centred columns into orthonormal ones; None where they are too close to collinear to tell."""
        size = np.sqrt(np.maximum(np.diag(self.gram), 0.0))
        kept = size > floor
        if not kept.any():
            return np.zeros((len(size), 0)) if self.constant else None
        sizes, axes = np.linalg.eigh(self.gram[np.ix_(kept, kept)] / np.outer(size[kept], size[kept]))
        if sizes[0] <= _CLEAR * sizes[-1]:
            return None
        turn = np.zeros((len(size), len(sizes)))
        turn[kept] = axes / np.sqrt(sizes) / size[kept][:, None]
        return turn

    def leverage(self, turn: Vector, x: Vector, w: Vector) -> Vector:
        """Of these rows of the design."""
        basis = (x - self.centre) @ turn
        of_row = np.einsum("ij,ij->i", basis, basis)
        return np.asarray(w * (of_row + 1 / self.total if self.constant else of_row))


def _from_bounds(rows: Rows, weight: Vector, gram: Vector, centre: Vector) -> float | None:
    """The largest leverage by way of bounds; None where these say too little."""
    prior = rows.leverages
    products = Products.moved(rows, float(weight.sum()), gram, centre)
    if prior.products is None or products is None:
        return None
    turn = products.turn(_floor(rows, weight))
    if turn is None or (turn.any(axis=1) != prior.turn.any(axis=1)).any():
        return None  # another set of columns varies under these weights
    stretch = _stretch(prior.products, products, turn)
    if stretch is None:
        return None
    bound = rows.per_person(weight / rows.w * prior.of_row) * (stretch * _SLACK)

    def among(least: float) -> float | None:
        near = rows.of_persons(bound >= least)
        if len(near) > _FEW * len(weight):
            return None
        return float(rows.per_person(products.leverage(turn, rows.x[near], weight[near]), near).max())

    cut = _NEAR * float(bound.max())
    largest = among(cut)
    # Whoever has more than the largest found has a bound above it.
    return among(largest) if largest is not None and largest < cut else largest


def _stretch(prior: Products, products: Products, turn: Vector) -> float | None:
    """The largest eigenvalue of H^-1 G, in coordinates in which H is the identity."""
    form = turn.T @ prior.gram @ turn
    if prior.constant:
        # Of a row 1, x: the intercept's own coordinate is 1 / sqrt(total), and the two means differ.
        apart = (prior.centre - products.centre) @ turn
        one = prior.total / products.total
        cross = prior.total / np.sqrt(products.total) * apart
        rest = form + prior.total * np.outer(apart, apart)
        form = np.block([[np.array([[one]]), cross[None, :]], [cross[:, None], rest]])
    try:
        largest = float(np.linalg.eigvalsh(form)[-1])
    except LinAlgError:
        return None
    return largest if np.isfinite(largest) else None


def _from_rows(rows: Rows, w: Vector) -> tuple[Vector, int]:
    """From the rows themselves, by QR and singular values: slower, and right also for collinear columns."""
    x = rows.x
    if () in rows.layout.columns:  # with an intercept, centred columns span the same and lose no digits
        x = np.column_stack([np.ones(len(x)), x - np.average(x, axis=0, weights=w)])
    x = x * np.sqrt(w)[:, None]
    size = np.sqrt((x**2).sum(axis=0))
    kept = size > np.concatenate([np.full(x.shape[1] - rows.x.shape[1], _RANK * np.sqrt(w.sum())), _floor(rows, w)])
    q, r = np.linalg.qr(x[:, kept] / size[kept])
    u, s, _ = np.linalg.svd(r)
    rank = int((s > _RANK * s[0]).sum()) if len(s) else 0
    return ((q @ u[:, :rank]) ** 2).sum(axis=1), rank


def _floor(rows: Rows, w: Vector) -> Vector:
    """The size under which a centred column is rounding and not variation."""
    scale = np.maximum(rows.largest, np.finfo(float).tiny) * 1e-5
    return np.asarray(_RANK * np.sqrt(w.sum()) * scale)

"""Leverage: how much of a fitted value is one person's own outcome (Belsley, Kuh, Welsch, 1980, ch. 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
_RANK = 1e-9  # singular values under this share of the largest are zero
_CLEAR = 1e-6  # eigenvalues of the cross-products above this share lose no digit that matters


def largest_leverage(rows: Rows) -> tuple[float, int]:
    """The largest leverage of a person (of all its rows together) under the rows' weights, and the design's rank."""
    if not len(rows.x):
        return 0.0, 0
    of_row, rank = _from_products(rows) or _from_rows(rows)
    codes = np.unique(rows.population.persons, return_inverse=True)[1]
    return float(np.bincount(codes, weights=of_row).max()), rank


def _from_products(rows: Rows) -> tuple[Vector, int] | None:
    """In two passes over blocks, from the cross-products; None where these are too close to collinear to tell."""
    x, w, constant = rows.x, rows.w, () in rows.layout.columns
    centre = (w @ x) / w.sum() if constant else np.zeros(x.shape[1])
    gram = np.zeros((x.shape[1], x.shape[1]))
    for part in rows.blocks():
        block = (x[part] - centre) * np.sqrt(w[part])[:, None]
        gram += block.T @ block
    size = np.sqrt(np.diag(gram))
    kept = size > _RANK * np.sqrt(w.sum()) * _scale(rows)
    sizes, axes = np.linalg.eigh(gram[np.ix_(kept, kept)] / np.outer(size[kept], size[kept]))
    if not len(sizes) or sizes[0] <= _CLEAR * sizes[-1]:
        return None
    turn = axes / np.sqrt(sizes) / size[kept][:, None]
    of_row = w / w.sum() if constant else np.zeros(len(w))
    for part in rows.blocks():
        basis = (x[part] - centre)[:, kept] @ turn
        of_row[part] += w[part] * np.einsum("ij,ij->i", basis, basis)
    return of_row, len(sizes) + constant


def _from_rows(rows: Rows) -> tuple[Vector, int]:
    """From the rows themselves, by QR and singular values: slower, and right also for collinear columns."""
    x = rows.x
    if () in rows.layout.columns:  # with an intercept, centred columns span the same and lose no digits
        x = np.column_stack([np.ones(len(x)), x - np.average(x, axis=0, weights=rows.w)])
    x = x * np.sqrt(rows.w)[:, None]
    size = np.sqrt((x**2).sum(axis=0))
    kept = size > _RANK * np.sqrt(rows.w.sum()) * np.concatenate([np.ones(x.shape[1] - rows.x.shape[1]), _scale(rows)])
    q, r = np.linalg.qr(x[:, kept] / size[kept])
    u, s, _ = np.linalg.svd(r)
    rank = int((s > _RANK * s[0]).sum()) if len(s) else 0
    return ((q @ u[:, :rank]) ** 2).sum(axis=1), rank


def _scale(rows: Rows) -> Vector:
    """The size of each raw column, to tell rounding from variation."""
    return np.asarray(np.maximum(np.abs(rows.x).max(axis=0), np.finfo(float).tiny) * 1e-5)

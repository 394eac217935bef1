"""The rows of one site by cluster, their sums for a mixed model, and how few persons these rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.mixed import Blocks
from sojourn.analysis.partial import Partial
from sojourn.analysis.support import Working
from sojourn.analysis.variable import SITE
from sojourn.statistics.robust import clusters
from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
_ROUNDING = 1e-9  # share of a column's size under which the sums over clusters are rounding


@dataclass(frozen=True, eq=False)
class Clusters:
    """codes: the cluster of each row, numbered from 0. z: the columns of the random effects, the first of ones."""

    rows: Rows
    codes: NDArray[np.int64]
    z: Vector

    @classmethod
    def of(cls, rows: Rows, group: str | None, slopes: tuple[str, ...]) -> Clusters:
        """By a column, by person where none is named, or all rows in one where it is `site`."""
        codes = np.zeros(len(rows.y), dtype=np.int64) if group == SITE else clusters(rows, group)
        z = np.column_stack([np.ones(len(rows.y)), *(rows.population.numeric(name) for name in slopes)])
        return cls(rows, codes, z)

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.codes.max()) + 1 if len(self.codes) else 0

    def handshake(self, with_clusters: bool) -> Partial:
        """Rows, sums of the columns and of the outcome; of the random effects' columns sums and sums of squares."""
        arrays = {
            "n": np.array([len(self.rows.y)]),
            "sum": self.rows.x.sum(axis=0),
            "outcome": np.array([self.rows.y.sum()]),
            "slopes": np.array([self.z.sum(axis=0), (self.z**2).sum(axis=0)]),
        }
        return Partial(arrays | ({"clusters": np.array([self.count])} if with_clusters else {}))

    def blocks(self, centre: Vector, origin: Vector, response: Vector | None = None, w: Vector | None = None) -> Blocks:
        """Cross-products by cluster. response: in the place of the outcome; w: weights of the rows."""
        xy = np.column_stack([self.rows.x, self.rows.y if response is None else response]) - centre
        z = self.z - origin
        weighed, own = (xy, z) if w is None else (xy * w[:, None], z * w[:, None])
        return Blocks(xy.T @ weighed, self.summed(z, weighed), self.summed(z, own))

    def beside_one_another(
        self, blocks: Blocks, covariance: Vector, totals: Sequence[Vector] | None = None
    ) -> tuple[float, float]:
        """Effective number of clusters behind the derivatives of the sums, and the largest share of one in them.

        The derivative by the variance of an effect is a sum of squares, one a cluster: close to one cluster's own where
        that is far from all others. totals: these sums of all sites, else those here.
        """
        turned = np.linalg.inv(np.eye(len(covariance)) + covariance @ blocks.within)
        shrunk = np.swapaxes(turned, 1, 2) @ blocks.cross
        floor = _ROUNDING * np.sqrt(np.diag(blocks.products))
        effective, largest = np.inf, 0.0
        for effect in range(len(covariance)):
            parts = shrunk[:, effect]
            total = parts.T @ parts if totals is None else totals[effect]
            size = np.sqrt(np.maximum(np.diag(total), 0.0))
            kept = size > floor
            if not kept.any():
                continue
            scaled = parts[:, kept] / size[kept]
            inverse = _inverse(total[np.ix_(kept, kept)] / np.outer(size[kept], size[kept]))
            sizes = (scaled**2).sum(axis=1)
            if sizes.any():
                effective = min(effective, float(sizes.sum() ** 2 / (sizes @ sizes)))
            largest = max(largest, float(np.einsum("ij,jk,ik->i", scaled, inverse, scaled).max()))
        return effective, largest

    def working(
        self,
        centre: Vector,
        origin: Vector,
        covariance: Vector,
        w: Vector | None = None,
        response: Vector | None = None,
        blocks: Blocks | None = None,
    ) -> Working | None:
        """How few persons the sums rest on, by what is left of each row beside its cluster.

        blocks: where the derivatives leave too, which rest on clusters.
        """
        if not len(self.rows.y):
            return Working(0.0, 1.0)
        y = self.rows.y if response is None else response
        x, weights = self.rows.x - centre[:-1], np.ones(len(y)) if w is None else w
        left = self._left(np.column_stack([x, y - centre[-1]]), origin, covariance, weights)
        own = weights - weights**2 * self._spread(origin, covariance, weights)
        terms = [self.rows.per_person(np.abs(values)) for values in (own, left[:, -1])]
        if not all(np.isfinite(term).all() for term in terms):
            return None
        shares = self._shares(x, left[:, :-1], x.T @ left[:, :-1])
        effective = min((float(term.sum() ** 2 / (term @ term)) for term in terms if term.any()), default=0.0)
        if blocks is not None:
            among, share = self.beside_one_another(blocks, covariance)
            effective, shares = min(effective, among), max(shares, share)
        return Working(effective, shares)

    def largest_share(
        self, centre: Vector, origin: Vector, covariance: Vector, total: Vector, w: Vector | None = None
    ) -> float:
        """The largest share of a person in sums that all sites have together."""
        if not len(self.rows.y):
            return 0.0
        x, weights = self.rows.x - centre[:-1], np.ones(len(self.rows.y)) if w is None else w
        return self._shares(x, self._left(x, origin, covariance, weights), total)

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.codes, kind="stable")
        return order, np.flatnonzero(np.diff(self.codes[order], prepend=-1))

    def summed(self, z: Vector, columns: Vector) -> Vector:
        """z' columns within each cluster; an empty site has one cluster of nobody, so that shapes stay."""
        q, width = z.shape[1], columns.shape[1]
        if not len(z):
            return np.zeros((1, q, width))
        order, starts = self._order
        parts = [np.add.reduceat((z[:, i : i + 1] * columns)[order], starts, axis=0) for i in range(q)]
        return np.stack(parts, axis=1)

    def turned(self, origin: Vector, covariance: Vector, w: Vector) -> Vector:
        """(I + G S)^-1 of each cluster, under these weights of the rows."""
        z = self.z - origin
        return np.asarray(np.linalg.inv(np.eye(z.shape[1]) + covariance @ self.summed(z, z * w[:, None])))

    def _left(self, columns: Vector, origin: Vector, covariance: Vector, w: Vector) -> Vector:
        """V^-1 times the columns."""
        z, turned = self.z - origin, self.turned(origin, covariance, w) @ covariance
        weighed = columns * w[:, None]
        shrunk = turned @ self.summed(z, weighed)
        return np.asarray(weighed - w[:, None] * np.einsum("iq,iqk->ik", z, shrunk[self.codes]))

    def _spread(self, origin: Vector, covariance: Vector, w: Vector) -> Vector:
        z, turned = self.z - origin, self.turned(origin, covariance, w) @ covariance
        return np.asarray(np.einsum("iq,iqr,ir->i", z, turned[self.codes], z))

    def _shares(self, x: Vector, left: Vector, total: Vector) -> float:
        """The largest trace of a person's part of x' V^-1 x beside the whole."""
        size = np.sqrt(np.maximum(np.diag(total), 0.0))
        kept = size > 0
        if not kept.any():
            return 1.0 if x.any() else 0.0
        scaled = total[np.ix_(kept, kept)] / np.outer(size[kept], size[kept])
        inverse = _inverse((scaled + scaled.T) / 2)
        of_row = np.einsum("ij,jk,ik->i", x[:, kept] / size[kept], inverse, left[:, kept] / size[kept])
        return float(np.abs(self.rows.per_person(of_row)).max())


def _inverse(matrix: Vector) -> Vector:
    return np.asarray(np.linalg.pinv(matrix, rcond=1e-9, hermitian=True))

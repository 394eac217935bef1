"""Quantiles under formal privacy: the rows of every bin of the declared grid with noise, and all quantiles out of them.

A person changes the bins of one column by as many rows as she has, wherever these lie. What leaves are the noisy
numbers of rows up to each value of the grid, made to rise (the nearest rising numbers in least squares: M. Hay, V.
Rastogi, G. Miklau, D. Suciu, PVLDB 3, 2010) and at least zero; that looks at no record. They add up over sites as exact
ones do. Any fractions of one column are read from one answer, so that further ones cost nothing. The mechanism that
picks one value (A. Smith, STOC 2011) would spend on each fraction, and its picks at several sites have no sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.statistic import Ask
from sojourn.disclosure.formal_ground import Grid, Ground, Vector
from sojourn.disclosure.mechanisms import Whole
from sojourn.statistics.quantiles import Quantiles


class Ranks:
    """Rows up to each value of a grid, in all or by groups."""

    counts_missing: ClassVar[bool] = False

    def __init__(self, quantiles: Quantiles, ground: Ground) -> None:
        self._quantiles, self._ground = quantiles, ground
        self._grid = Grid(quantiles.by, ground)
        self._values = dict(sorted(quantiles.grids(ground.variables).items()))

    def measured(self) -> dict[str, Any]:
        """See `Form`; the fractions are no part of it."""
        grids = {name: [one.low, one.step, one.values, one.width] for name, one in self._values.items()}
        return {"rows up to": grids, "by": list(self._grid.dimensions)}

    def asks(self) -> tuple[Ask, ...]:
        """See `Form`."""
        return (Ask("counts"),)

    def vectors(self, parts: Mapping[str, Partial]) -> tuple[Vector, ...]:
        """See `Form`; the rows of each bin, of which each of a person's rows is in one."""
        counted, rows = parts["counts"], self._ground.rows
        every = self._grid.take(counted[self._quantiles.rows_name(self._quantiles.q[0])])
        found = []
        for name, grid in self._values.items():
            below = self._grid.take(counted[self._quantiles.below_name(name)], (grid.bins - 1,))
            bins = np.diff(below, axis=-1, prepend=0, append=every[:, None])
            found.append(Vector(f"rows.{name}", bins.ravel().astype(np.int64), rows, rows))
        return tuple(found)

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """See `Form`; all columns are of the same rows, whose number is the mean of what each says."""
        risen = {name: _risen(noisy[f"rows.{name}"].reshape(-1, grid.bins)) for name, grid in self._values.items()}
        every = np.rint(np.mean([curve[:, -1] for curve in risen.values()], axis=0)).astype(np.int64)
        arrays: dict[str, Array] = {
            self._quantiles.rows_name(q): self._grid.put(every[:, None]) for q in self._quantiles.q
        }
        for name, curve in risen.items():
            below = np.minimum(curve[:, :-1], every[:, None])
            arrays[self._quantiles.below_name(name)] = self._grid.put(below[..., None])
        return Partial(arrays)


def _risen(bins: Whole) -> NDArray[np.int64]:
    """Sums from the first bin on, the nearest that never fall; of each row of (groups, bins)."""
    sums = np.cumsum(bins, axis=-1).astype(np.float64)
    nearest = [scipy.optimize.isotonic_regression(row).x for row in sums]
    return np.maximum(np.rint(np.reshape(nearest, bins.shape)), 0).astype(np.int64)

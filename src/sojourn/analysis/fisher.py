"""Fisher's exact test of a table of any size: the probability of all tables of its margins that are no more probable.

Tables are filled column by column; partial tables that leave the same of each row and are equally probable go on as
one. Where that takes too many, random tables of these margins stand for all.

Source: G. H. Freeman, J. H. Halton, Biometrika 38, 1951; W. M. Patefield, Applied Statistics 30, 1981 (random tables).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Vector = NDArray[np.float64]
MOST = 200_000  # partial tables up to which the test is exact
RANDOM = 50_000  # tables that are drawn where it is not
_TIED = 1e-7  # relative: probabilities of tables that are equal but for rounding


@dataclass(frozen=True)
class Fisher:
    """p, and where it was estimated from random tables their number and its standard error."""

    p: float
    tables: int = 0
    std_error: float = 0.0

    def facts(self) -> dict[str, float | int]:
        """As it stands in an answer."""
        estimated: dict[str, float | int] = {"random_tables": self.tables, "std_error": self.std_error}
        return {"p": self.p} | (estimated if self.tables else {})


def fisher(observed: Counts) -> Fisher:
    """Of counts (rows, columns) without empty margins; the same for the same table, and for it turned around."""
    table = observed if observed.shape[0] <= observed.shape[1] else observed.T
    table = table[np.argsort(table.sum(axis=1), kind="stable")][:, np.argsort(table.sum(axis=0), kind="stable")]
    found = _exact(table)
    return _estimated(table) if found is None else found


def _exact(table: Counts) -> Fisher | None:
    """None where there are too many tables."""
    least = -_log_factorial(table).sum()
    left: Counts = table.sum(axis=1)[None, :]
    value: Vector = np.zeros(1)
    times: Vector = np.ones(1)
    for total in table.sum(axis=0)[:-1]:  # the last, and largest, column is what is left
        filled = _columns(left, int(total))
        if filled is None:
            return None
        of, column = filled
        left, value, times = left[of] - column, value[of] - _log_factorial(column).sum(axis=1), times[of]
        key = np.column_stack([left, np.round(value, 9)])
        _, first, same = np.unique(key, axis=0, return_index=True, return_inverse=True)
        left, value = left[first], value[first]
        times = np.asarray(np.bincount(same.ravel(), weights=times), dtype=np.float64)
    value = value - _log_factorial(left).sum(axis=1)
    whole = _log_factorial(table.sum(axis=0)).sum() + _log_factorial(table.sum(axis=1)).sum()
    kept = value <= least + _TIED
    return Fisher(min(float(times[kept] @ np.exp(value[kept] + whole - _log_factorial(table.sum()))), 1.0))


def _columns(left: Counts, total: int) -> tuple[NDArray[np.int64], Counts] | None:
    """All ways of a column with this total beside what is left of the rows: whose they are, and the column."""
    of, rest = np.arange(len(left)), np.full(len(left), total)
    cells: list[NDArray[np.int64]] = []
    after = left[:, ::-1].cumsum(axis=1)[:, ::-1]
    for row in range(left.shape[1] - 1):
        low = np.maximum(rest - after[of, row + 1], 0)
        ways = np.minimum(rest, left[of, row]) - low + 1
        if ways.sum() > MOST:
            return None
        chosen = np.repeat(np.arange(len(of)), ways)
        cell = np.arange(len(chosen)) - np.repeat(np.cumsum(ways) - ways, ways) + low[chosen]
        cells, of, rest = [*(one[chosen] for one in cells), cell], of[chosen], rest[chosen] - cell
    return of, np.column_stack([*cells, rest])


def _estimated(table: Counts) -> Fisher:
    """From random tables, the seed being the table itself."""
    from scipy import stats  # slow to load, and needed by no site's local part

    drawn = stats.random_table(table.sum(axis=1), table.sum(axis=0)).rvs(
        RANDOM, random_state=np.random.default_rng(table.ravel().tolist())
    )
    value = -_log_factorial(drawn).sum(axis=(1, 2))
    p = (1 + int((value <= -_log_factorial(table).sum() + _TIED).sum())) / (RANDOM + 1)
    return Fisher(p, RANDOM, float(np.sqrt(p * (1 - p) / RANDOM)))


def _log_factorial(counts: NDArray[np.generic]) -> Vector:
    return np.asarray(scipy.special.gammaln(np.asarray(counts, dtype=np.float64) + 1))

"""The interval audit: what follows for hidden numbers from all that is published, and which more must go.

Numbers of persons that add up form a system: relations @ counts = 0. Who reads the shown ones knows of the hidden ones
that they are whole, at least `low`, and satisfy the relations; the feasibility interval of a hidden number is

    [min, max] of x_i  subject to  relations @ x = 0,  x = counts where shown,  x >= low where hidden,

a linear programme. The audit asks that every interval be at least `width` wide. Where one is narrower, the cheapest
further numbers are hidden that let it move: min sum cost_j |d_j| subject to relations @ d = 0, d_i = what is missing.
Intervals only widen when more is hidden, so sets that pass are closed under union. Sources: Fischetti and Salazar
González, Management Science 47 (2001); J. P. Kelly, B. L. Golden, A. A. Assad, Networks 22 (1992); Hundepool et al.,
Statistical Disclosure Control (2012), chapter 4. Programmes are solved by HiGHS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]
_EPSILON = 1e-6
_FEW = 4  # numbers that are not worth a programme together
_NEIGHBOURS = 6  # of a number in a relation, that are tried before all others


class Unprotected(Exception):
    """No further number that could be hidden would widen an interval enough."""


@dataclass(frozen=True, eq=False)
class System:
    """Numbers that depend on one another; each vector is over all of them.

    counts: persons. relations: sparse, relations @ counts = 0. hideable: may be hidden by this audit, while all others
    stay as they are. low: the least that a hidden number is known to be. protected: whose intervals must be wide where
    they are hidden; what is hideable, where it is not said.
    """

    counts: NDArray[np.int64]
    relations: csr_array
    hideable: Mask
    low: NDArray[np.int64]
    protected: Mask | None = None

    def __post_init__(self) -> None:
        if (self.relations @ self.counts).any() or (self.counts < self.low).any():
            raise ValueError("the counts do not satisfy what is known of them")


class Audit:
    """Intervals of one system's hidden numbers; what was once seen possible stays so when more is hidden."""

    def __init__(self, system: System, hidden: Mask, width: int) -> None:
        self.system, self.hidden, self.width = system, hidden.copy(), width
        self.columns = system.relations.tocsc()
        self._least, self._most = system.counts.astype(np.float64), system.counts.astype(np.float64)

    def reach(self, places: NDArray[np.int64], least: Numbers, most: Numbers) -> None:
        """Numbers that are possible at these places, proved elsewhere."""
        self._least[places] = np.minimum(self._least[places], least)
        self._most[places] = np.maximum(self._most[places], most)

    def narrow(self, places: Iterable[int]) -> list[int]:
        """Those of the hidden places whose interval is narrower than the width, in the order given."""
        parts, most = self._parts(), self._bounds()
        waiting = self._together([place for place in places if not self._wide(place)], parts, most)
        return [place for place in waiting if most[place] < self.width or not self._solved(place, parts[place])]

    def complete(self) -> Mask:
        """Hide more until every hidden number that is protected passes; Unprotected where that cannot be had."""
        protected = self.system.hideable if self.system.protected is None else self.system.protected
        while True:
            waiting = np.flatnonzero(self.hidden & protected)
            waiting = waiting[np.argsort(self.system.counts[waiting], kind="stable")]
            parts, most = self._parts(), self._bounds()
            narrow = self._together([place for place in waiting.tolist() if not self._wide(place)], parts, most)
            if not narrow:
                return self.hidden
            for place in narrow:
                if not self._wide(place):
                    self._free(place, None if most[place] < self.width else parts[place])

    def _together(self, waiting: list[int], parts: dict[int, NDArray[np.int64]], most: Numbers) -> list[int]:
        """Those not seen to be wide by programmes in which many rise at once, each as far as it must."""
        while True:
            groups: dict[int, list[int]] = {}
            for place in waiting:
                if most[place] >= self.width:
                    groups.setdefault(int(parts[place][0]), []).append(place)
            for group in groups.values():
                if len(group) > _FEW:
                    self._extreme(group, parts[group[0]], -1.0)
            left = [place for place in waiting if not self._wide(place)]
            if len(left) == len(waiting):
                return left
            waiting = left

    def interval(self, place: int) -> tuple[int, int]:
        """The whole numbers that a hidden number may be."""
        part = self._parts()[place]
        for sign in (1.0, -1.0):
            self._extreme([place], part, sign)
        return self._ends(place)

    def _ends(self, place: int) -> tuple[int, int]:
        return int(np.ceil(self._least[place] - _EPSILON)), int(np.floor(self._most[place] + _EPSILON))

    def _wide(self, place: int) -> bool:
        low, high = self._ends(place)
        return high - low >= self.width

    def _solved(self, place: int, part: NDArray[np.int64]) -> bool:
        """Whether the programme itself finds the interval wide."""
        for sign in (-1.0, 1.0):
            self._extreme([place], part, sign)
            if self._wide(place):
                return True
        return False

    def _bounds(self) -> Numbers:
        """No interval is wider: where all that is hidden in a relation adds to one sum, what may move in it."""
        system = self.system
        places = np.flatnonzero(self.hidden)
        among = self.columns[:, places].tocoo()
        row, column, sign = among.row, places[among.col], among.data
        spare = (system.counts - system.low)[column].astype(np.float64)
        slack = np.bincount(row, spare, minlength=among.shape[0]).astype(np.float64)
        signs = np.bincount(row, sign, minlength=among.shape[0])
        slack[np.abs(signs) < np.bincount(row, np.abs(sign), minlength=among.shape[0])] = np.inf
        most = np.full(len(system.counts), np.inf)
        np.minimum.at(most, column, slack[row])
        return most

    def _parts(self) -> dict[int, NDArray[np.int64]]:
        """For each hidden place the places that it shares relations with, one after another."""
        from scipy.sparse import csgraph

        places = np.flatnonzero(self.hidden)
        among = abs(self.columns[:, places])
        _, labels = csgraph.connected_components(among.T @ among, directed=False)
        order = np.argsort(labels, kind="stable")
        groups = np.split(places[order], np.flatnonzero(np.diff(labels[order])) + 1)
        return {int(place): group for group in groups for place in group}

    def _extreme(self, places: list[int], part: NDArray[np.int64], sign: float) -> None:
        """The least (sign 1) or most (-1) of places; the solution tells what is possible for all others too.

        One of several rises no further than it must to be wide, and leaves the rest to the others.
        """
        among = _rows(self.columns[:, part])
        here = np.isin(part, places)
        low = self.system.low[part].astype(np.float64)
        start = self.system.counts[part].astype(np.float64)
        high = np.full(len(part), float(self.system.counts.max() + self.width + 1))  # where no total is known
        if len(places) > 1:
            high[here] = np.maximum(self._least[part][here] + self.width, start[here])
        at = solve(np.where(here, sign, 0.0), among, among @ start, low, high)
        if at is None:
            raise ValueError("a programme that has a solution was not solved")
        self.reach(part, at, at)

    def _free(self, place: int, part: NDArray[np.int64] | None) -> None:
        """Hide what lets this number move far enough: down to what it may be at the least, and up.

        part: what the number shares relations with, to be asked once more before anything is hidden, since that is
        the dearer question; None where the interval is known to be narrow.
        """
        down, up = self._pair(place)
        if up is None or self._costs(up) or (down is not None and self._costs(down)):
            if part is not None and self._solved(place, part):
                return
            if down is not None:
                self._take(down)
            down, up = self._pair(place)
        if up is None:
            raise Unprotected
        for move in (down, up):
            if move is not None:
                self._take(move)

    def _pair(self, place: int) -> tuple[Numbers | None, Numbers | None]:
        """The cheapest changes that let a number move down as far as it must, and up; both ways in one, if need be."""
        below = min(int(self.system.counts[place] - self.system.low[place]), self.width)
        down = self._moves(place, -below)
        up = self._moves(place, self.width - (0 if down is None else below))
        return down, self._moves(place, -self.width) if up is None else up

    def _costs(self, move: Numbers) -> bool:
        """Whether a change needs numbers that are shown."""
        return bool((np.abs(move) > _EPSILON)[~self.hidden].any())

    def _take(self, move: Numbers) -> None:
        """Hide what a move changes; it is possible from now on."""
        self.hidden |= np.abs(move) > _EPSILON
        at = self.system.counts + move
        self.reach(np.arange(len(at)), at, at)

    def _moves(self, place: int, by: int) -> Numbers | None:
        """The cheapest change of hidden and hideable numbers that changes one by so much; None where there is none."""
        if self.system.counts[place] + by < self.system.low[place]:
            return None
        cost = np.where(self.hidden, _EPSILON, self.system.counts + 1.0)
        free = self.hidden | (self.system.hideable & (self.system.counts > 0))
        near = self._near(place, np.where(free, cost, np.inf))
        for places in (near, np.flatnonzero(free)):
            move = self._cheapest(place, by, places, cost[places])
            if move is not None or len(places) == free.sum():
                return move
        return None

    def _near(self, place: int, cost: Numbers) -> NDArray[np.int64]:
        """The cheapest few neighbours of a place, and what closes the circles between them: enough for most changes."""
        relations, columns = self.system.relations, self.columns
        first = {place}
        for relation in columns.indices[columns.indptr[place] : columns.indptr[place + 1]]:
            members = relations.indices[relations.indptr[relation] : relations.indptr[relation + 1]]
            first.update(members[np.argsort(cost[members], kind="stable")[:_NEIGHBOURS]].tolist())
        touched = np.zeros(relations.shape[0])
        touched[columns[:, sorted(first)].indices] = 1
        near = (abs(relations).T @ touched) >= 2
        near[sorted(first)] = True
        return np.flatnonzero(near & np.isfinite(cost))

    def _cheapest(self, place: int, by: int, places: NDArray[np.int64], cost: Numbers) -> Numbers | None:
        """min sum cost |d| over these places, subject to relations @ d = 0 and d_place = by."""
        from scipy.sparse import hstack

        system = self.system
        among = _rows(self.columns[:, places])
        here = places == place
        low = np.concatenate([np.where(here, max(by, 0), 0.0), np.where(here, max(-by, 0), 0.0)])
        down = np.where(here, max(-by, 0), (system.counts - system.low)[places])
        high = np.concatenate([np.where(here, max(by, 0), np.inf), down])
        both = hstack([among, -among], format="csr")
        at = solve(np.concatenate([cost, cost]), both, np.zeros(both.shape[0]), low, high)
        if at is None:
            return None
        move = np.zeros(len(system.counts))
        move[places] = at[: len(places)] - at[len(places) :]
        return move


def _rows(among: Any) -> Any:
    """The relations that say anything of some numbers."""
    among = among.tocsr()
    return among[np.flatnonzero(np.diff(among.indptr))]


def solve(objective: Numbers, equal: Any, to: Numbers, low: Numbers, high: Numbers) -> Numbers | None:
    """min objective @ x subject to equal @ x = to, low <= x <= high; None where no x satisfies it."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # slow to load, and needed only where a number is hidden

    constraints = LinearConstraint(equal, to, to) if equal.shape[0] else ()
    result = milp(objective, constraints=constraints, bounds=Bounds(low, high))
    if result.status == 2:
        return None
    if result.status != 0:
        raise ValueError("a linear programme was not solved")
    return np.asarray(result.x, dtype=np.float64)

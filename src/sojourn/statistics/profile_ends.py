"""Where a penalised likelihood, profiled over all other coefficients, has fallen far enough: intervals and tests.

    ends:  maximise and minimise a'b where l*(b) >= l*max - q / 2;    test:  maximise l*(b) where a'b = 0

All lines are searched at once, each by Newton steps under its condition (the information stands for the curvature),
mixed from those before. A place is asked again where the penalty was of an information that was not foreseen.

Source: D. J. Venzon, S. H. Moolgavkar, Applied Statistics 37, 1988; G. Heinze, M. Schemper, Statistics in Medicine 21,
2002.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import scipy  # its parts load when they are first used
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.mixing import Mixing

Vector = NDArray[np.float64]
LOWER, NULL, UPPER = -1, 0, 1
SIDES = (LOWER, NULL, UPPER)
FALLEN = 3.8414588206941285  # chi-squared, one degree of freedom, 95 %: computed here, it would load scipy
_SMALL = 3e-9  # length of a step, in standard errors, after which a line is where it shall be
_DOUBT, _SURE = 0.3, 1e-9  # as of the search for the maximum (`firth`)
_LONGEST, _CLOSE = 2.0, 0.5


def doubt(root: Vector, foreseen: Vector, penalty: Vector) -> float:
    """How long a step, in standard errors, a penalty may be off by that was not of this information."""
    half = np.linalg.solve(root.T, foreseen)
    off = np.abs(np.linalg.eigvalsh(np.linalg.solve(root.T, half.T) - np.eye(len(penalty)))).max()
    return float(off * np.linalg.norm(np.linalg.solve(root.T, penalty)))


@dataclass
class End:
    """The search of one line. along: a; side: which end, or the test. at, foreseen: what is asked next."""

    along: Vector
    side: int
    level: float
    at: Vector
    foreseen: Vector
    value: float = math.nan
    done: bool = False
    origin: Vector | None = None
    known: Vector | None = None
    mixing: Mixing = field(default_factory=lambda: Mixing(_CLOSE))

    @classmethod
    def of(cls, along: Vector, side: int, best: float, at: Vector, information: Vector) -> End:
        """From the maximum, by its quadratic form."""
        spread = np.linalg.solve(information, along)
        if side == NULL:
            first = at - spread * (along @ at) / (along @ spread)
        else:
            first = at + side * math.sqrt(FALLEN) * spread / math.sqrt(along @ spread)
        return cls(along, side, best - FALLEN / 2, first, information)

    def tell(self, likelihood: float, score: Vector, penalty: Vector, information: Vector) -> None:
        """Take in what came back from the place that was asked."""
        if self.done:
            return
        try:
            root = np.asarray(np.linalg.cholesky(information)).T
        except LinAlgError:
            self._halve()
            return
        value, pull = likelihood + float(np.log(np.diag(root)).sum()), score + penalty
        step = self._step(value, pull, information)
        length, unsure = float(np.linalg.norm(root @ step)), doubt(root, self.foreseen, penalty)
        if unsure > max(_DOUBT * length, _SURE):
            self.foreseen = information
            return
        self.value, self.done = value, length < _SMALL and unsure < _SMALL
        if self.done:
            return
        move = self.mixing.move(self.at, step, root)
        move = move / max(1.0, float(np.linalg.norm(root @ move)) / _LONGEST)
        ahead = self._foresee(information, move)
        self.origin, self.known, self.at, self.foreseen = self.at, information, self.at + move, ahead

    def _step(self, value: float, pull: Vector, information: Vector) -> Vector:
        newton, spread = (np.linalg.solve(information, one) for one in (pull, self.along))
        size = float(self.along @ spread)
        if self.side == NULL:
            return np.asarray(newton - spread * float(self.along @ (self.at + newton)) / size)
        room = max(2 * (value - self.level) + float(pull @ newton), 0.0)
        return np.asarray(newton + self.side * math.sqrt(room / size) * spread)

    def _foresee(self, information: Vector, move: Vector) -> Vector:
        """Along the last move the information changes as it did."""
        if self.origin is None or self.known is None:
            return information
        moved = self.at - self.origin
        length = float(moved @ information @ moved)
        share = float(np.clip(move @ information @ moved / length, -1.0, 1.0)) if length > 0 else 0.0
        return information + share * (information - self.known)

    def _halve(self) -> None:
        if self.origin is None or self.known is None:
            self.at = self.at * 0.9
            return
        self.at, self.foreseen = (self.at + self.origin) / 2, self.known


def row_of(ends: dict[int, End], best: float, estimate: float) -> tuple[float | None, ...]:
    """Signed root of the likelihood ratio, its p, and both ends of one coefficient; None of what was not found."""
    null, low, high = (ends[side] if ends[side].done else None for side in (NULL, LOWER, UPPER))
    places = [None if end is None else float(end.along @ end.at) for end in (low, high)]
    if null is None:
        return (None, None, *places)
    root = math.copysign(math.sqrt(max(2 * (best - null.value), 0.0)), estimate)
    return (root, 2 * float(scipy.special.ndtr(-abs(root))), *places)

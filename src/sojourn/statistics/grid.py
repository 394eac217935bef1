"""The values at which a number is counted: fixed by its declared range and precision, never by the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.variable import Variable
from sojourn.errors import PlanError

MOST_BINS = 1_000
_USUAL = 201  # bins, about, where no precision is declared


@dataclass(frozen=True)
class Grid:
    """Values low, low + step, … to high; each bin holds `width` neighbouring ones.

    A number belongs to the value next to it. coarse: why an answer from it is not exact, in words that follow the
    column's name; empty where each bin is one value of the declared precision.
    """

    low: float
    step: float
    values: int
    width: int = 1
    coarse: str = ""

    @classmethod
    def of(cls, column: str, variable: Variable, precision: float | None, most: int, field: str) -> Grid:
        """With at most so many bins; PlanError where no range is declared, or the precision does not fit it."""
        low, high = variable.low, variable.high
        if low is None or high is None or low >= high:
            words = f'Federation(…, declared={{"{column}": sojourn.Variable(kind="number", low=…, high=…)}})'
            remedy = "Ask the custodians of all sites to declare `low` and `high` of it in their dictionaries; a plan "
            remedy += f"declares no more than they do. In a testbed: `{words}`."
            raise PlanError(f"`{column}` has no declared range.", remedy=remedy, field=f"{field}.columns")
        if precision is None:
            step = _round_step((high - low) / (min(_USUAL, most) - 1))
            coarse = f"is counted in steps of {step:g}, as no precision is declared"
            return cls(low, step, _values(low, high, step), 1, coarse)
        values = _values(low, high, precision)
        if values < 2 or precision > high - low:
            remedy = "Give the distance of two neighbouring values, e.g. 1 for whole years."
            raise PlanError(
                f"`{column}` has no two values of this precision.", remedy=remedy, field=f"{field}.precision"
            )
        width = math.ceil(values / most)
        wide = f"is counted in steps of {width * precision:g}, as its range has more than {most:,} values"
        return cls(low, precision, values, width, wide if width > 1 else "")

    @property
    def bins(self) -> int:
        """How many bins there are, at least two."""
        return math.ceil(self.values / self.width)

    def places(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each number."""
        nearest = np.floor((numbers - self.low) / self.step + 0.5)
        return np.clip(nearest, 0, self.values - 1).astype(np.int64) // self.width

    def low_of(self, place: int) -> float:
        """The least that a number of this bin may be; of a single value of the declared precision, the value."""
        return self._value(place * self.width, -1)

    def high_of(self, place: int) -> float:
        """The most that a number of this bin may be."""
        return self._value(min((place + 1) * self.width, self.values) - 1, 1)

    def _value(self, number: int, side: int) -> float:
        """In decimals, so that 0.1 steps give what a reader writes; half a step aside where values are not declared."""
        low, step = Decimal(repr(self.low)), Decimal(repr(self.step))
        undeclared = bool(self.coarse) and self.width == 1
        return float(low + number * step + (side * step / 2 if undeclared else 0))


def _values(low: float, high: float, step: float) -> int:
    """How many values there are from low to high."""
    return math.floor((high - low) / step + 1e-9) + 1


def _round_step(least: float) -> float:
    """The next step of 1, 2 or 5 times a power of ten."""
    power = Decimal(10) ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= Decimal(repr(least))))

"""Dominance and p percent: a sum must not be, nearly, one or two persons' values.

For the contributions x1 >= x2 >= … to a sum X (absolute values of raw values, before any centring):

    (n, k) dominance:  unsafe if x1 + … + xn > k/100 * X
    p percent:         unsafe if X - x1 - x2 < p/100 * x1

The second says that the person with x2 could estimate x1 to within p percent by subtracting his own value. Source:
Hundepool et al., Statistical Disclosure Control (2012), chapter 4. p is confidential: who knows it can bound x1.

Of squares about a mean the contributions are (x - mean)^2, summed over a person's rows, and what they tell is a
distance, their root. So (n, k) is asked of them as it is, and p percent of the distance:

    p percent:         unsafe if D - d1 - d2 < ((1 + p/100)^2 - 1) * d1

Where squares fail they alone are hidden, and numbers and means stay: see `disclosure.spread`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from sojourn.analysis.support import Cells, Contributions
from sojourn.disclosure.complement import complement
from sojourn.disclosure.families.minimum_frequency import small_cells
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.spread import Unsafe, hidden_squares
from sojourn.disclosure.suppression import Mask, Masks, over, suppress, union


@dataclass(frozen=True)
class Dominance:
    """The n largest persons make up more than k percent of a sum."""

    n: int
    k: float
    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "dominance"
    family: ClassVar[str] = "dominance"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Hide the sums, refuse a lone sum or a model, or release."""
        return _judge(output, self._unsafe, self._unsafe, self.threshold, self.zero_shown)

    def _unsafe(self, sums: Contributions) -> Mask:
        largest = sums.largest + sums.second if self.n == 2 else sums.largest
        return np.asarray(100 * largest > self.k * sums.total)


@dataclass(frozen=True)
class PPercent:
    """The second largest person could estimate the largest to within p percent."""

    p: float = field(repr=False)
    threshold: int
    zero_shown: bool = False
    name: ClassVar[str] = "p percent"
    family: ClassVar[str] = "dominance"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Hide the sums, refuse a lone sum or a model, or release."""
        return _judge(output, self._unsafe, self._near, self.threshold, self.zero_shown)

    def _unsafe(self, sums: Contributions) -> Mask:
        return np.asarray(100 * (sums.total - sums.largest - sums.second) < self.p * sums.largest)

    def _near(self, squares: Contributions) -> Mask:
        return replace(self, p=percent_of_squares(self.p))._unsafe(squares)


def percent_of_squares(p: float) -> float:
    """How many percent more squares there are, where a distance is p percent greater."""
    return 100 * ((1 + p / 100) ** 2 - 1)


def _judge(output: Output, unsafe: Unsafe, near: Unsafe, threshold: int, zero_shown: bool) -> Finding:
    if not output.support.contributions:
        raise ValueError("no evidence of contributions")
    few = small_cells(output, threshold, zero_shown)
    masks = []
    for sums in (*output.support.contributions, *output.support.squares):
        numbers = np.stack([sums.largest, sums.second, sums.total])
        if not np.isfinite(numbers).all() or (numbers < 0).any():
            raise ValueError("contributions are finite and not negative")
    for sums in output.support.contributions:
        hidden = unsafe(sums)
        if hidden.any() and output.support.design is not None:
            return refuse("dominance", "one or two persons make up most of a sum")
        laid = over(output, sums.output, _complement(output, sums, hidden, threshold, zero_shown))
        if hidden.any() and hidden.size == 1 and not _within(laid, few):
            return refuse("dominance", "one or two persons make up most of a sum")
        masks.append(laid)
    for squares in output.support.squares:
        hidden = hidden_squares(squares, output.support, near, threshold, zero_shown)
        if hidden.any() and output.support.design is not None:
            return refuse("dominance", "one or two persons make up most of the squares about a mean")
        masks.append(over(output, squares.output, hidden))
    return suppress("dominance", union(masks))


def _within(laid: Masks, few: Masks) -> bool:
    """Whether minimum frequency hides it all, so that a refusal would tell one or two persons from T - 1."""
    return all(name in few and not (mask & ~few[name]).any() for name, mask in laid.items())


def _complement(output: Output, sums: Contributions, hidden: Mask, threshold: int, zero_shown: bool) -> Mask:
    """The complement within each table of persons that stands behind these sums, one measure at a time."""
    for cells in output.support.cells:
        if set(cells.output) & set(sums.output):
            hidden = _by_measure(cells, hidden, threshold, zero_shown)
    return hidden


def _by_measure(cells: Cells, hidden: Mask, threshold: int, zero_shown: bool) -> Mask:
    axes = len(cells.shape)
    if hidden.shape[:axes] != cells.shape:
        raise ValueError("contributions and cells do not have the same shape")
    completed = hidden.copy()
    for place in np.ndindex(hidden.shape[axes:]):
        completed[(..., *place)] = complement(cells, hidden[(..., *place)], threshold, zero_shown)
    return completed

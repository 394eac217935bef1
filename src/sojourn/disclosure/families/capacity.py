"""Capacity: how many numbers an analysis may carry out in all, whatever they are.

    unsafe: numbers released so far and now > what the analysis declares: its largest step in each of its R rounds,
              for a regression of p parameters R (1 + p + p (p + 1) / 2) and what belongs to the step besides;
            > the site's own cap; results of code that is not the product's own with more than 6 digits

A number of d significant digits carries at most 3.32 d bits; the note tells the custodian how many. A symmetric matrix
counts once. Source: for arbitrary code the only hard bound is how much it may say: output capacity, as in the theory of
covert channels (Lampson, CACM 16(10), 1973).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import MOST_ROUNDS
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress

UNTRUSTED_DIGITS = 6


@dataclass(frozen=True)
class Capacity:
    """Refuses what would exceed the cap. numbers: the site's own cap for analyses that declare none."""

    numbers: int = 1_000_000
    name: ClassVar[str] = "capacity"
    family: ClassVar[str] = "capacity"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        said = output.support.capacity
        if not said.trusted and said.digits > UNTRUSTED_DIGITS:
            return refuse(self.family, "more digits than code of others may give")
        now = distinct(output.partial)
        if said.spent < 0 or said.digits < 1:
            raise ValueError("the evidence of the capacity contradicts itself")
        numbers = said.spent + now
        note = f"capacity: {numbers} numbers, at most {bits(numbers, said.digits)} bits"
        return refuse(self.family, note) if numbers > self._most(output) else suppress("", {}, note=note)

    def _most(self, output: Output) -> int:
        design, declared = output.support.design, output.support.capacity.most
        if declared is not None:
            return min(self.numbers, declared)
        if design is not None:
            width = design.parameters
            return min(self.numbers, MOST_ROUNDS * (1 + width + width * (width + 1) // 2))
        return self.numbers


def distinct(partial: Partial) -> int:
    """The numbers of a partial; of a symmetric matrix those on and below its diagonal."""
    numbers = 0
    for array in partial.arrays.values():
        width = array.shape[0] if array.ndim == 2 and array.shape[0] == array.shape[1] else 0
        symmetric = width > 1 and np.array_equal(array, array.T)
        numbers += width * (width + 1) // 2 if symmetric else array.size
    return numbers


def bits(numbers: int, digits: int) -> int:
    """The most that so many numbers can carry, about 3.32 bits a digit."""
    return math.ceil(numbers * digits * math.log2(10))

"""Steps that change an output's numbers before it is judged: rounding, cell keys, significant digits.

A perturbation is pure, and the evidence stays that of the true persons. What was done is public: it stands in the
release's header, so that a reader knows; with what seed is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array, Partial
from sojourn.disclosure.output import Output

OFF, BASE_5, MIDPOINT_6 = "off", "base 5", "midpoint 6"
ROUNDINGS = (OFF, BASE_5, MIDPOINT_6)  # from mildest to strictest


class Perturbation(Protocol):
    """One change of an output's numbers; `words` says in public what it does."""

    @property
    def words(self) -> str: ...

    def apply(self, output: Output) -> Output:
        """The same output with other numbers, of the same types and shapes."""


@dataclass(frozen=True)
class Rounding:
    """Every count of persons to the nearest multiple of 5, or to the middle of its band of six."""

    how: str

    @property
    def words(self) -> str:
        """What a reader is told."""
        return f"counts rounded: {self.how}"

    def apply(self, output: Output) -> Output:
        """Round the counts of cells; sums and models stay as they are.

        A number that is the total of a table beside it becomes the sum of the rounded cells.
        """
        names = counted(output)
        near = {name: rounded(output.partial[name], self.how) for name in names}
        for name in names:
            if output.partial[name].size == 1:
                for other in names:
                    if other != name and int(output.partial[other].sum()) == int(output.partial[name].sum()):
                        near[name] = np.full_like(near[name], near[other].sum())
                        break
        return replace(output, partial=Partial({**output.partial.arrays, **near}, output.partial.suppressed))


@dataclass(frozen=True)
class Significant:
    """Every floating-point number to so many significant digits; for results of code that is not the product's own."""

    digits: int = 6

    @property
    def words(self) -> str:
        """What a reader is told."""
        return f"{self.digits} significant digits"

    def apply(self, output: Output) -> Output:
        """Round the numbers and say so in the evidence."""
        floats = tuple(name for name, array in output.partial.arrays.items() if array.dtype.kind == "f")
        support = output.support
        digits = min(self.digits, support.capacity.digits)
        support = replace(support, capacity=replace(support.capacity, digits=digits))
        return replace(changed(output, floats, lambda array: significant(array, self.digits)), support=support)


def counted(output: Output) -> tuple[str, ...]:
    """The arrays of this round that are counts of the persons or rows of cells, sorted."""
    names = {name for cells in output.support.cells for name in cells.output}
    arrays = output.partial.arrays
    return tuple(sorted(name for name in names & set(arrays) if arrays[name].dtype.kind == "i"))


def changed(output: Output, names: tuple[str, ...], change: Callable[[Array], NDArray[Any]]) -> Output:
    """The output with some arrays changed; ValueError where a change has another type or shape."""
    arrays = dict(output.partial.arrays)
    for name in names:
        new = change(arrays[name])
        if new.dtype != arrays[name].dtype or new.shape != arrays[name].shape:
            raise ValueError("a perturbation changed an array's form")
        arrays[name] = new
    return replace(output, partial=Partial(arrays, output.partial.suppressed))


def rounded(counts: Array, how: str) -> NDArray[Any]:
    """Counts to base 5 or midpoint 6."""
    if how == BASE_5:
        return (counts + 2) // 5 * 5
    if how == MIDPOINT_6:
        return np.where(counts > 0, (counts + 5) // 6 * 6 - 3, 0).astype(counts.dtype)
    raise ValueError("there is no such rounding")


def significant(numbers: Array, digits: int) -> NDArray[Any]:
    """Numbers to so many significant digits."""
    return np.array([float(f"{value:.{digits - 1}e}") for value in numbers.ravel().tolist()]).reshape(numbers.shape)

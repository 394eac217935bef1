"""Class disclosure: a table must not tell what is true of everybody, or nearly everybody, of a group.

For each line of a table with a margin of at least T persons, and a cell c of the line:

    unsafe: c = margin and the level is not declared harmless, unless all other cells of the line are structural zeros
    medium: c > 90 % of the margin in a level declared sensitive, or 0 < margin - c < T

Until a checker can look at it, medium does not leave either. Source: group disclosure in Hundepool et al., Statistical
Disclosure Control (2012), chapter 4, and "class disclosure" in the SDC Handbook (Griffiths et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells
from sojourn.analysis.variable import SITE, Variable, Variables
from sojourn.disclosure.complement import complement
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.suppression import Mask, over, suppress, union


@dataclass(frozen=True)
class ClassDisclosure:
    """An unsafe line is hidden whole, with its complement; in a table of one dimension the line is the population.

    It is hidden and not refused, so that a level which nobody has looks like one which a few have. `site` is exempt:
    that a site's persons are the site's is no secret.
    """

    threshold: int
    sensitive_percent: float = 90.0
    zero_shown: bool = False
    name: ClassVar[str] = "class disclosure"
    family: ClassVar[str] = "class disclosure"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Hide lines, or release."""
        masks = []
        for cells in output.support.cells:
            if not cells.dimensions:
                continue
            axes = [axis for axis, name in enumerate(cells.dimensions) if name != SITE]
            hidden = self._lines(cells, axes, output.variables)
            masks.append(over(output, cells.output, complement(cells, hidden, self.threshold, self.zero_shown)))
        return suppress(self.family, union(masks))

    def _lines(self, cells: Cells, axes: Sequence[int], variables: Variables) -> Mask:
        """The cells of every unsafe line."""
        if len(cells.dimensions) != len(cells.shape):
            raise ValueError("the dimensions do not name each axis")
        persons, known = _persons(cells), cells.structural()
        hidden = np.zeros(cells.shape, dtype=bool)
        for axis in axes:
            levels = _levels(variables[cells.dimensions[axis]], cells.shape[axis])
            lines, shown = np.moveaxis(persons, axis, -1), np.moveaxis(hidden, axis, -1)
            never = np.moveaxis(known, axis, -1)
            for place in np.ndindex(lines.shape[:-1]):
                if never[place].sum() >= lines.shape[-1] - 1 > 0:
                    continue  # that they are in the one possible cell, everybody knows
                if self._unsafe(list(lines[place]), levels, variables[cells.dimensions[axis]]):
                    shown[place] = True
        return hidden & ~known

    def _unsafe(self, line: list[BitMap], levels: Sequence[str], variable: Variable) -> bool:
        margin = len(BitMap.union(BitMap(), *line))
        if margin < self.threshold:
            return False  # its cells are all too small anyway
        for level, cell in zip(levels, line, strict=True):
            rest = margin - len(cell)
            if rest == 0 and level not in variable.harmless:
                return True
            if 0 < rest < self.threshold:
                return True
            if level in variable.sensitive and 100 * len(cell) > self.sensitive_percent * margin:
                return True
        return False


def _persons(cells: Cells) -> NDArray[np.object_]:
    persons = np.empty(len(cells.persons), dtype=object)
    persons[:] = cells.persons
    return persons.reshape(cells.shape)


def _levels(variable: Variable, size: int) -> Sequence[str]:
    """The names of the levels in order; a boolean's and a number's have none, so none of them is harmless."""
    return variable.levels if variable.levels else ("",) * size

"""Text: the labels of an output are declared levels, and nothing else.

    unsafe: a dimension that is not declared, or whose axis has not as many places as declared levels;
            a label of more than 80 characters

An output carries numbers; the labels beside them come from the plan's declarations, which each site compared with its
own dictionary. So labels can hold nothing of the data as long as every axis is a declared one. Anything free-form is
outside this rule and never leaves by itself. Source: text and logs in the product's rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.analysis.declaration import LONGEST_LABEL
from sojourn.analysis.support import Cells
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Text:
    """Refuses labels that no dictionary declares. Without evidence of cells it fails, which refuses."""

    longest: int = LONGEST_LABEL
    name: ClassVar[str] = "text"
    family: ClassVar[str] = "text"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        if not output.support.cells:
            raise ValueError("no evidence of cells")
        for cells in output.support.cells:
            if fault := self._fault(cells, output.variables):
                return refuse(self.family, fault)
        return suppress("", {})

    def _fault(self, cells: Cells, variables: Variables) -> str:
        for axis, name in enumerate(cells.dimensions):
            if name not in variables:
                return "a dimension that is not declared" if name != SITE else "a roster that is not declared"
            variable = variables[name]
            if any(not 0 < len(label) <= self.longest for label in variable.levels):
                return f"a label of {name} is empty or too long"
            places = {Kind.BOOLEAN: 2, Kind.CATEGORY: len(variable.levels)}.get(variable.kind)  # a number has bins
            if places is not None and (axis >= len(cells.shape) or cells.shape[axis] != places):
                return f"the axis of {name} is not its declared levels"
        return ""

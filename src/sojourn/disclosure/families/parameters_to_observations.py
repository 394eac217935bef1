"""Parameters to observations: a model with many parameters for its persons is a listing of them.

    unsafe: p / N > 0.33

N counts persons. Source: DataSHIELD's nfilter.glm, 0.33 by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class ParametersToObservations:
    """Refuses a model with too many parameters. Without evidence of a design it fails, which refuses."""

    most: float
    name: ClassVar[str] = "parameters to observations"
    family: ClassVar[str] = "parameters to observations"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        design = output.support.design
        if design is None:
            raise ValueError("no evidence of the design")
        return refuse(self.family) if design.parameters > self.most * design.persons else suppress("", {})

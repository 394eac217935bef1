"""Variation: a variable that is the same for everybody tells everybody's value.

    unsafe: a variable of the model, or one that is measured, has one value in the population

Source: class disclosure of a number; a mean whose standard deviation is 0 is each person's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Variation:
    """Refuses where the statistic's evidence names a constant variable."""

    name: ClassVar[str] = "variation"
    family: ClassVar[str] = "no variation"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        constant = output.support.constant
        return refuse(self.family, f"constant: {', '.join(constant)}") if constant else suppress("", {})

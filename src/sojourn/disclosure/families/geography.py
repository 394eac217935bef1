"""Geography: an area may be told apart only where enough people live in it.

    unsafe: an area of fewer than its minimum population: 20,000 for the first three digits of a US postcode,
            100 for areas of a site's own making

The population is everybody who lives there, patients or not, as the dictionary declares it. It is checked for each
variable that is declared an area and that the output is broken down by or measures. Source: 45 CFR 164.514(b)(2) for
`zip3`; 100 for custom areas is a default of this product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sojourn.analysis.variable import AREAS
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Geography:
    """Refuses an output with a small area. least: minimum population by kind of area. An unknown kind fails."""

    zip3: int = 20_000
    custom: int = 100
    name: ClassVar[str] = "geography"
    family: ClassVar[str] = "geography"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        used = {*output.support.measures, *(name for cells in output.support.cells for name in cells.dimensions)}
        for name in sorted(used & set(output.variables)):
            variable = output.variables[name]
            if not variable.area and not variable.populations:
                continue
            if variable.area not in AREAS or len(variable.populations) != len(variable.levels):
                raise ValueError("an area without its populations")
            if min(variable.populations, default=0) < self.least[variable.area]:
                return refuse(self.family, f"small area: {name}")
        return suppress("", {})

    @property
    def least(self) -> Mapping[str, int]:
        """The minimum population by kind of area."""
        return {"zip3": self.zip3, "custom": self.custom}

"""Events: a model of an outcome rests on enough persons of the rarer kind.

    unsafe: events < max(T, 2p)

events: persons of the rarer outcome class, or with an event. Source: the minimum frequency of the outcome's cells,
with two events a parameter so that no parameter is one person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.rules import refuse
from sojourn.disclosure.suppression import suppress


@dataclass(frozen=True)
class Events:
    """Refuses a model with too few events; a continuous outcome has none and passes. No design is a failure."""

    threshold: int
    name: ClassVar[str] = "events"
    family: ClassVar[str] = "events"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """Refuse or release."""
        design = output.support.design
        if design is None:
            raise ValueError("no evidence of the design")
        few = design.events is not None and design.events < max(self.threshold, 2 * design.parameters)
        return refuse(self.family) if few else suppress("", {})

"""Policies: which rules a site asks, built by name from parameters. A site's policy is data from this registry.

`UnsafeReleaseAll` is not here: no name and no setting leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from sojourn.disclosure.differencing import Bounds
from sojourn.disclosure.families.class_disclosure import ClassDisclosure
from sojourn.disclosure.families.design_support import DesignSupport
from sojourn.disclosure.families.dominance import Dominance, PPercent
from sojourn.disclosure.families.events import Events
from sojourn.disclosure.families.histogram import Histogram
from sojourn.disclosure.families.minimum_frequency import MinimumFrequency
from sojourn.disclosure.families.parameters_to_observations import ParametersToObservations
from sojourn.disclosure.families.residual_freedom import ResidualFreedom
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.rules import AllOf, Automatic, Rule, refuse
from sojourn.errors import ConfigurationError

# In the order in which they are asked: where several refuse, the analyst sees the first. Those that count persons come
# before those on values, so that a level of one person and a level of T - 1 are refused in the same words.
RULES: Mapping[str, Callable[[Parameters], Rule]] = MappingProxyType(
    {
        "minimum frequency": lambda p: MinimumFrequency(p.threshold, p.zero_shown, p.dimensions),
        "events": lambda p: Events(p.threshold),
        "design support": lambda p: DesignSupport(p.threshold, p.leverage),
        "class disclosure": lambda p: ClassDisclosure(p.threshold, p.sensitive_percent),
        "histogram": lambda p: Histogram(p.threshold, p.zero_shown),
        "dominance": lambda p: Dominance(p.dominance_n, p.dominance_k, p.threshold, p.zero_shown),
        "p percent": lambda p: PPercent(p.p_percent, p.threshold, p.zero_shown),
        "residual freedom": lambda p: ResidualFreedom(p.residual, p.threshold),
        "parameters to observations": lambda p: ParametersToObservations(p.observations),
    }
)
ALWAYS = "minimum frequency"


@dataclass(frozen=True)
class StandardPolicy:
    """The rules that a statistic names, built from a site's parameters; minimum frequency is asked first and always."""

    parameters: Parameters = field(default_factory=Parameters)
    name: str = "default"
    version: str = "1"
    watermark: ClassVar[str] = ""

    def hidden_max(self) -> int:
        """T - 1: what a cell that is hidden for itself may hold.

        A cell that is hidden to protect another may hold more, and nobody can tell the two apart.
        """
        return self.parameters.threshold - 1

    def differencing(self) -> Bounds:
        """How answers are compared with all that was released before."""
        chosen = self.parameters
        return Bounds(
            chosen.threshold,
            span=chosen.ledger_bound,
            share=chosen.ledger_share,
            beyond=chosen.ledger_beyond,
            hit=chosen.ledger_hit,
        )

    def judge(self, output: Output) -> Finding:
        """The strictest word of all rules; no rule, or one that is not known, refuses."""
        if not output.rules or not set(output.rules) <= set(RULES):
            return refuse("output schema", "the statistic names no rule, or one that is not known")
        rules = (build(self.parameters) for name, build in RULES.items() if name in {ALWAYS, *output.rules})
        return AllOf(tuple(Automatic(rule, self.parameters.automatic) for rule in rules)).judge(output)


POLICIES: Mapping[str, StandardPolicy] = MappingProxyType({"default": StandardPolicy()})


def named(name: str) -> StandardPolicy:
    """The policy of this name; ConfigurationError where there is none."""
    if name not in POLICIES:
        remedy = f"Use one of: {', '.join(sorted(POLICIES))}."
        raise ConfigurationError("There is no disclosure policy of that name.", remedy=remedy)
    return POLICIES[name]

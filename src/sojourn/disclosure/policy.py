"""Policies: which rules a site asks, built by name from parameters. A site's policy is data from this registry.

`UnsafeReleaseAll` is not here: no name and no setting leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sojourn.disclosure.cell_key import CellKey, perturbation_table
from sojourn.disclosure.differencing import Bounds
from sojourn.disclosure.families.capacity import Capacity
from sojourn.disclosure.families.class_disclosure import ClassDisclosure
from sojourn.disclosure.families.correlation import Correlation
from sojourn.disclosure.families.design_support import DesignSupport
from sojourn.disclosure.families.dominance import Dominance, PPercent
from sojourn.disclosure.families.events import Events
from sojourn.disclosure.families.geography import Geography
from sojourn.disclosure.families.histogram import Histogram
from sojourn.disclosure.families.minimum_frequency import MinimumFrequency
from sojourn.disclosure.families.parameters_to_observations import ParametersToObservations
from sojourn.disclosure.families.positions import Positions
from sojourn.disclosure.families.residual_freedom import ResidualFreedom
from sojourn.disclosure.families.risk_sets import RiskSets
from sojourn.disclosure.families.rounding import Rounded
from sojourn.disclosure.families.survival_steps import SurvivalSteps
from sojourn.disclosure.families.text import Text
from sojourn.disclosure.linked import Table, beside
from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.disclosure.parameters import Parameters, strictest
from sojourn.disclosure.perturbation import OFF, Perturbation, Rounding
from sojourn.disclosure.rules import AllOf, Rule, refuse
from sojourn.errors import ConfigurationError

# In the order in which they are asked: where several refuse, the analyst sees the first. Those that count persons come
# before those on values, so that a level of one person and a level of T - 1 are refused in the same words.
RULES: Mapping[str, Callable[[Parameters], Rule]] = MappingProxyType(
    {
        "minimum frequency": lambda p: MinimumFrequency(p.threshold, p.zero_shown, p.dimensions),
        "events": lambda p: Events(p.threshold),
        "design support": lambda p: DesignSupport(p.threshold, p.leverage, min(p.dominance_k, 100 - p.p_percent) / 100),
        "class disclosure": lambda p: ClassDisclosure(p.threshold, p.sensitive_percent, p.zero_shown),
        "histogram": lambda p: Histogram(p.threshold, p.zero_shown),
        "dominance": lambda p: Dominance(p.dominance_n, p.dominance_k, p.threshold, p.zero_shown),
        "p percent": lambda p: PPercent(p.p_percent, p.threshold, p.zero_shown),
        "residual freedom": lambda p: ResidualFreedom(p.residual, p.threshold, p.zero_shown),
        "parameters to observations": lambda p: ParametersToObservations(p.observations),
        "positions": lambda p: Positions(p.threshold),
        "survival steps": lambda p: SurvivalSteps(p.threshold, p.zero_shown),
        "risk sets": lambda p: RiskSets(p.threshold, p.zero_shown),
        "correlation": lambda p: Correlation(p.threshold, p.residual),
        "geography": lambda p: Geography(p.zip3, p.custom_area),
        "text": lambda p: Text(),
        "rounding": lambda p: Rounded(p.rounding),
        "capacity": lambda p: Capacity(p.numbers),
    }
)
ALWAYS = frozenset({"minimum frequency", "geography", "rounding", "capacity"})


class Policy(Protocol):
    """A site's rules. `name` and `version` are public; `watermark` is not empty where rules are not the product's."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def watermark(self) -> str: ...
    @property
    def automatic(self) -> Tier:
        """The highest risk that leaves without a checker."""

    def hidden_max(self) -> int:
        """The largest number of persons that a suppressed cell may hold (T - 1); published."""

    def differencing(self) -> Bounds | None:
        """How answers are compared with all that was released before; None: not at all."""

    def judge(self, output: Output) -> Finding:
        """The strictest word of all rules that apply; an empty policy refuses."""


@dataclass(frozen=True)
class StandardPolicy:
    """The rules that a statistic names, built from a site's parameters; those of `ALWAYS` are asked always.

    datasets: a dataset's own parameters, where it has any; they are nowhere milder than the site's.
    """

    parameters: Parameters = field(default_factory=Parameters)
    datasets: Mapping[str, Parameters] = field(default_factory=dict)
    name: str = "default"
    version: str = "1"
    watermark: ClassVar[str] = ""

    def hidden_max(self) -> int:
        """T - 1: what a cell that is hidden for itself may hold.

        A cell that is hidden to protect another may hold more, and nobody can tell the two apart.
        """
        return self.parameters.threshold - 1

    def __post_init__(self) -> None:
        if any(strictest(self.parameters, own) != own for own in self.datasets.values()):
            raise ConfigurationError(
                "The rules of a dataset are milder than the site's.", remedy="Build them with `parameters.layer`."
            )

    def of(self, dataset: str) -> StandardPolicy:
        """The policy for what is released from one dataset."""
        return replace(self, parameters=self.datasets.get(dataset, self.parameters), datasets={})

    @property
    def perturbations(self) -> tuple[Perturbation, ...]:
        """What is done to an output's numbers before it is judged."""
        p = self.parameters
        keys = (CellKey(_noise(p.cell_key), p.cell_key),) if p.cell_key else ()
        return (*keys, *((Rounding(p.rounding),) if p.rounding != OFF else ()))

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

    @property
    def automatic(self) -> Tier:
        """The highest risk that leaves without a checker."""
        return self.parameters.automatic

    def judge(self, output: Output) -> Finding:
        """The strictest word of all rules; no rule, or one that is not known, refuses."""
        if not output.rules or not set(output.rules) <= set(RULES):
            return refuse("output schema", "the statistic names no rule, or one that is not known")
        rules = (build(self.parameters) for name, build in RULES.items() if name in {*ALWAYS, *output.rules})
        return Stated(AllOf(tuple(rules)).judge(output), self.parameters.suppressed).judge(output)


def for_dataset(policy: Policy, dataset: str) -> Policy:
    """The policy for one dataset; that of a testbed, which is an object, is the same for all."""
    return policy.of(dataset) if isinstance(policy, StandardPolicy) else policy


def linked_with(
    policy: Policy, output: Output, finding: Finding, earlier: Sequence[Table], names: Mapping[str, str]
) -> Finding | None:
    """What else must be hidden beside tables that left before; nothing where the policy is a testbed's object.

    names: see `linked.beside`.
    """
    if not isinstance(policy, StandardPolicy) or finding.verdict is Verdict.REFUSE:
        return None
    return beside(output, finding, earlier, policy.parameters.threshold, policy.parameters.zero_shown, names)


@dataclass(frozen=True)
class Stated:
    """A finding that was made, of at least the risk that the site sees in an output of which something is hidden."""

    finding: Finding
    suppressed: Tier
    name: ClassVar[str] = "suppressed"
    family: ClassVar[str] = "minimum frequency"
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """The finding, with its tier raised where cells are hidden."""
        if self.finding.verdict is not Verdict.SUPPRESS:
            return self.finding
        return replace(self.finding, tier=max(self.finding.tier, self.suppressed, key=strictness))


@lru_cache(maxsize=8)
def _noise(seed: int) -> NDArray[np.int64]:
    return perturbation_table(seed)


POLICIES: Mapping[str, StandardPolicy] = MappingProxyType({"default": StandardPolicy()})


def named(name: str) -> StandardPolicy:
    """The policy of this name; ConfigurationError where there is none."""
    if name not in POLICIES:
        remedy = f"Use one of: {', '.join(sorted(POLICIES))}."
        raise ConfigurationError("There is no disclosure policy of that name.", remedy=remedy)
    return POLICIES[name]

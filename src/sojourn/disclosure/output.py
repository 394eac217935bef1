"""What the gate looks at: one partial with its step and evidence. And what a rule says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Support
from sojourn.analysis.variable import Variables


@dataclass(frozen=True)
class Output:
    """One round's partial of one analysis at one site, with everything that the rules need to judge it."""

    statistic: str
    step: Step
    partial: Partial
    support: Support
    variables: Variables
    rules: tuple[str, ...]  # the names that the statistic declares


class Verdict(StrEnum):
    """From mildest to strictest."""

    RELEASE = "release"
    SUPPRESS = "suppress"
    REFUSE = "refuse"


class Tier(StrEnum):
    """The risk of an output; what is riskier than a site lets out by itself waits for checkers: see `review`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


def strictness(word: Verdict | Tier) -> int:
    """The place of a word in its order, mildest first."""
    return list(type(word)).index(word)


@dataclass(frozen=True)
class Finding:
    """A rule's word: verdict, the family shown to the analyst, cells to hide, and a note for the custodian alone.

    raised: the family by which the tier is above low, where no rule refuses. risky: cells that are shown and that a
    checker should look at.
    """

    verdict: Verdict
    family: str = ""
    cells: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # array name -> cells to hide
    tier: Tier = Tier.LOW
    note: str = ""  # stays inside the site
    raised: str = ""
    risky: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

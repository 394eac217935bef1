"""How rules are joined

Every rule of an analysis must agree. The strictest word stands, and a cell that any rule hides is hidden; so a
further rule never lets more out. Where no rule is asked nothing leaves: an empty policy refuses. A check that
cannot be completed counts as failed. Minimum frequency is asked of everything, named or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sojourn.disclosure.output import Finding, Verdict
from sojourn.disclosure.rules import AllOf, AnyOf, refuse

CASES = (
    ({"all of": "nothing"}, "refused: check failed", "an empty policy refuses"),
    ({"any of": "nothing"}, "refused: check failed", "an empty policy refuses"),
    ({"all of": "release, release"}, "released", "all agree"),
    ({"all of": "release, refuse"}, "refused: events", "one refuses"),
    ({"any of": "release, refuse"}, "released", "one agrees"),
    ({"all of": "release, broken"}, "refused: check failed", "a check that cannot be completed has failed"),
    ({"any of": "broken, broken"}, "refused: check failed", "no check could be completed"),
)


@dataclass(frozen=True)
class Fixed:
    """A rule that always says the same."""

    name: str
    family: str = "events"
    scope: str = "site"

    def judge(self, output):
        if self.name == "broken":
            raise RuntimeError("a value of a record")
        return Finding(Verdict.RELEASE) if self.name == "release" else refuse(self.family)


@dataclass(frozen=True)
class Rules:
    """A policy of the joined rules."""

    rule: AllOf | AnyOf
    name: str = "joined"
    version: str = "1"
    watermark: str = ""

    def hidden_max(self):
        return 9

    def differencing(self):
        return None

    def judge(self, output):
        return self.rule.judge(output)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_joining(given, verdict, why, spec):
    ((kind, names),) = given.items()
    rules = () if names == "nothing" else tuple(Fixed(name) for name in names.split(", "))
    policy = Rules(AllOf(rules) if kind == "all of" else AnyOf(rules))
    assert spec.verdict(spec.outputs.table([40, 30]), policy) == verdict

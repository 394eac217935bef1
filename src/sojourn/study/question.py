"""One analysis of a masked plan, as hub, nodes and client see it alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from sojourn.analysis.population import nobody
from sojourn.analysis.statistic import Compared, Matched, Squared, Statistic, clear_only
from sojourn.analysis.support import Support
from sojourn.analysis.variable import SITE, Variable, Variables
from sojourn.disclosure.demands import Demands, evaluators, stride
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_questions import Told
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import JointTest
from sojourn.study.circle import Circle
from sojourn.study.plan import Plan

MOST_TESTING = 24  # rounds of a joint test
Planned = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]  # of analyses by name the variables of each table
PARTED = ("at_least", "count", "crosstab")  # of whose tables each part everybody by the levels of its variables
MOST_COMPARING = 100_000  # factors of a comparison, whose shares travel beside those of the joint test


@dataclass(frozen=True)
class Question:
    """What is asked of whom. before: the plan's analyses by name that come before this one: what they show counts as
    known when this one is tested, whether they pass or not, so that all sites test the same.
    """

    study: str
    analysis: str
    statistic: Statistic
    variables: Variables
    circle: Circle
    before: tuple[tuple[str, Statistic], ...] = field(default=())

    @classmethod
    def of(cls, study: str, analysis: str, plan: Plan, variables: Variables, circle: Circle) -> Question:
        """One analysis of a plan; they come in the order of their names."""
        before = tuple((name, plan.analyses[name]) for name in sorted(plan.analyses) if name < analysis)
        return cls(study, analysis, plan.analyses[analysis], variables, circle, before)

    @property
    def most_rounds(self) -> int:
        """The joint test's and the statistic's together; a comparison has as many as a joint test, as have squares."""
        own = MOST_TESTING if isinstance(self.statistic, Compared) else self.statistic.rounds()
        return MOST_TESTING + own + MOST_TESTING * isinstance(self.statistic, Squared)

    @property
    def evaluators(self) -> tuple[str, ...]:
        """The sites that evaluate the joint test, the same in each study of these sites."""
        return evaluators(self.circle.members, self.circle.sites)

    def layout(self, told: tuple[Told, ...] = ()) -> Layout:
        """The questions of the joint test, from the plan alone; DisclosureRefused where it has none for this."""
        return layout_of(self.statistic, self.variables, told)

    def tested(self, told: tuple[Told, ...], demands: Demands) -> tuple[Layout, JointTest]:
        """Questions and joint test beside earlier releases, in the most precise way that is not too large.

        DisclosureRefused where there is none, "capacity" where any would be too large.
        """
        sites, evaluating = self.circle.sites, self.evaluators
        for precise in (True, False):
            try:
                planned = self.tables_before()
                layout = layout_of(self.statistic, self.variables, told, demands.threshold, precise, planned)
                return layout, test_of(layout, sites, evaluating, demands)
            except DisclosureRefused as error:
                if error.family != "capacity" or not (told and precise):
                    raise
        raise AssertionError

    def tables_before(self) -> Planned:
        """By which variables the tables of the analyses before this one are, as far as all are `PARTED`; else none.

        Sets of other statistics may be other persons by the same variables: bins of other edges, those with an event.
        """
        if self.statistic.name not in PARTED:
            return ()
        nobody_there = nobody(self.variables[SITE].levels[0], self.variables)
        supports = ((name, one.support(nobody_there)) for name, one in self.before if one.name in PARTED)
        return tuple((name, tuple(cells.dimensions for cells in support.cells)) for name, support in supports)

    def demand_comparable(self, threshold: int) -> None:
        """DisclosureRefused where a comparison with k would tell too much under this T, or be too large."""
        if not isinstance(self.statistic, Compared):
            return
        if self.statistic.k % stride(threshold):
            raise DisclosureRefused("comparison")
        (step,) = self.statistic.steps(self.variables)
        cells = math.prod(step.partial[self.statistic.compared])
        if cells * (self.statistic.k + len(self.circle.sites) * (threshold + 2)) > MOST_COMPARING:
            raise DisclosureRefused("capacity")

    def told_by_plan(self) -> list[tuple[str, tuple[str, ...]]]:
        """Names and labels of what the analyses before this one make known."""
        found = []
        for name, statistic in self.before:
            if isinstance(statistic, Matched):
                continue  # of whom it tells no site knows
            try:
                empty = statistic.support(nobody(self.variables[SITE].levels[0], self.variables))
                found.append((name, told_in_plan(name, statistic, self.variables, empty).labels))
            except DisclosureRefused:
                continue  # it is refused, and shows nothing
        return found


def layout_of(
    statistic: Statistic,
    variables: Variables,
    told: tuple[Told, ...] = (),
    threshold: int = 10,
    precise: bool = True,
    planned: Planned = (),
) -> Layout:
    """The questions about one statistic; DisclosureRefused where a step of it gives what no sum may be made of."""
    why = clear_only(statistic)
    if why or any(not step.additive for step in statistic.steps(variables)):
        raise DisclosureRefused(why or "by site")
    frozen: Any = statistic  # each is a frozen value, which its protocol cannot say
    known = tuple((one.name, one.labels) for one in told)
    return _layout(frozen, tuple(sorted(variables.items())), known, threshold, precise, planned)


def told_in_plan(name: str, statistic: Statistic, variables: Variables, support: Support) -> Told:
    """All that an analysis may make known, as if everything in it passed; `support`: of one site."""
    layout, three = layout_of(statistic, variables), ("a", "b", "c")
    bits = np.ones(len(test_of(layout, three, three, Demands(3, 1, 1.0)).conditions), dtype=bool)
    return layout.release(name, bits, support)


# Every party asks for both again in each round; neither ever changes.
@lru_cache(maxsize=256)
def _layout(
    statistic: Statistic,
    variables: tuple[tuple[str, Variable], ...],
    told: tuple[tuple[str, tuple[str, ...]], ...],
    threshold: int,
    precise: bool,
    planned: Planned,
) -> Layout:
    declared = dict(variables)
    empty = statistic.support(nobody(declared[SITE].levels[0], declared))
    known = [Told(name, labels, ()) for name, labels in told]
    return Layout.of(empty, declared, statistic.rules, known, threshold, precise, planned)


@lru_cache(maxsize=64)
def test_of(layout: Layout, sites: tuple[str, ...], evaluators: tuple[str, ...], demands: Demands) -> JointTest:
    """The joint test; DisclosureRefused where it would be too large."""
    return layout.test(sites, evaluators, demands)

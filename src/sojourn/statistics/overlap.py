"""How many persons each two sites have in common: pairs of sites, of whole tables, in masked plans only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Support
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import PlanError

LEAST, MOST = 100, 50_000
NOT_AGREED, AGREED, CONTRADICTED, MET = 0, 1, 2, 3
"""Of a pair: no agreement of both custodians; counted, and told where it may be; two of its three sites disagree; one
site's snapshot was compared with another snapshot of the other before."""
_WHY = {NOT_AGREED: "no agreement", CONTRADICTED: "contradicted", MET: "asked before"}


@dataclass(frozen=True)
class Overlap:
    """Persons in common of each two sites. most: the most persons of a site, whose list is filled up to it.

    What its coordinator is told: of each pair its state, and the number in common, hidden where it may not be told.
    """

    most: int = 10_000

    name: ClassVar[str] = "overlap"
    matched: ClassVar[str] = "persons"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency",)
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"most": {"type": "number", "multipleOf": 1, "minimum": LEAST, "maximum": MOST}},
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Overlap:
        """From arguments that fit the schema."""
        most = arguments.get("most", cls.most)
        if not LEAST <= most <= MOST or most % 1:
            raise PlanError(
                "This is no number of persons that a list is made for.",
                remedy=f"Give a number from {LEAST} to {MOST:,}, not below the persons of the largest site.",
                field=f"{field}.most",
            )
        return cls(int(most))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {} if self.most == Overlap.most else {"most": self.most}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`; none: whoever chose persons by their values could try single ones."""
        return ()

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`; what the pairs tell together. No site computes it."""
        size = (len(pairs_of(variables[SITE].levels)),)
        return (Step("overlap", {}, {"persons": size, "state": size}),)

    def rounds(self) -> int:
        """See `Statistic`; beside those of a joint test."""
        return 5

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`; nothing: a site alone has no overlap."""
        size = len(pairs_of(population.variables[SITE].levels))
        return Partial({word: np.zeros(size, dtype=np.int64) for word in ("persons", "state")})

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        return Support(persons_of(population.persons), ())

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("overlap")
        total, pairs = gathered.total, pairs_of(variables[SITE].levels)
        hidden = total.hidden("persons")
        rows: list[tuple[Cell, ...]] = []
        told: dict[tuple[str, str], int] = {}
        for place, (one, other) in enumerate(pairs):
            state = int(total.arrays["state"][place])
            if state == AGREED and not hidden[place]:
                told[one, other] = int(total.arrays["persons"][place])
                rows.append((one, other, told[one, other], ""))
            elif state == AGREED:
                rows.append((one, other, Suppressed(), "not released"))
            else:
                rows.append((one, other, None if state == NOT_AGREED else Suppressed(), _WHY[state]))
        facts = {
            "counted_again_at_least": again_at_least(told),
            "counted_again_at_most": sum(told.values()) if len(told) == len(pairs) else None,
        }
        return Estimate(("site", "with"), ("persons", "why"), tuple(rows), facts, warnings=_warnings(len(pairs), told))


def pairs_of(sites: Sequence[str]) -> list[tuple[str, str]]:
    """Each two sites, in the order of their names."""
    return list(combinations(sorted(sites), 2))


def again_at_least(told: Mapping[tuple[str, str], int]) -> int:
    """How often persons are counted again, at least, where each site counts its own.

    The sum over the heaviest pairs that form no circle: D. Hunter, Journal of Applied Probability 13, 1976.
    """
    groups: dict[str, str] = {}

    def root(site: str) -> str:
        while (above := groups.get(site, site)) != site:
            site = above
        return site

    found = 0
    for (one, other), persons in sorted(told.items(), key=lambda pair: (-pair[1], pair[0])):
        if root(one) != root(other):
            groups[root(one)] = root(other)
            found += persons
    return found


def _warnings(pairs: int, told: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
    if len(told) == pairs:
        return ()
    return (
        f"{len(told)} of {pairs} pairs are told, so that nobody can say how often persons are counted again at most. "
        "A number that is not released is small, or leaves few of a site, or a site put in nobody.",
    )

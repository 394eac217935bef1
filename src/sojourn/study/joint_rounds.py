"""The rounds of a joint test as asks: terms, shares, multiplications, opening.

terms: each site states what its rules demand and which earlier masked releases it remembers. share: each seals shares
of its support to the evaluators. multiply: evaluators seal products' shares to one another. open: they tell their
shares of what is opened, which are pass bits and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.statistic import Ask, Step
from sojourn.disclosure.demands import Demands, strictest
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_families import POPULATION, is_label
from sojourn.disclosure.joint_questions import Told
from sojourn.disclosure.masked_gate import ReceivedMasked
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import JointTest, verdict
from sojourn.study.question import MOST_TESTING, Question
from sojourn.study.remembered import Remembered, counted
from sojourn.study.transcript import Round

TERMS, SHARE, MULTIPLY, OPEN = "joint.terms", "joint.share", "joint.multiply", "joint.open"
STEPS: Mapping[str, Step] = MappingProxyType(
    {
        TERMS: Step(TERMS, {}, {}),
        SHARE: Step(SHARE, {}, {}),
        MULTIPLY: Step(MULTIPLY, {"number": (1,)}, {}),
        OPEN: Step(OPEN, {}, {}),
    }
)
FAILED = "joint test"
MOST_LABEL = 1_000  # characters
MOST_REMEMBERED = 20_000  # sets of persons of the earlier sums that count; the layout has a bound of its own


class Evaluating:
    """Where the rounds of a test stand, of the step names share, multiply, open.

    ask: what is asked now. bits: what was opened, once it was. number: of the multiplication that is asked now.
    """

    def __init__(self, words: tuple[str, str, str], ask: str, test: JointTest | None) -> None:
        self.share, self.multiply, self.open = words
        self.ask = Ask(ask)
        self.test = test
        self.bits: NDArray[np.bool_] | None = None
        self.number = 0

    def tell(self, past: Round) -> None:
        """Go on by a round; ValueError for what is no answer to it, DisclosureRefused where the test ends there."""
        releases = masked_of(past)
        if any(release.ring for release in releases.values()):
            raise ValueError("numbers in a joint test")
        self._go_on(releases)

    def _go_on(self, releases: Mapping[str, ReceivedMasked]) -> None:
        if self.ask.step == self.open:
            self.bits = self._opened(releases)
            return
        assert self.test is not None
        self.number += 1
        if self.number > self.test.rounds():
            self.ask = Ask(self.open)
        else:
            self.ask = Ask(self.multiply, {"number": np.array([self.number])})

    def _opened(self, releases: Mapping[str, ReceivedMasked]) -> NDArray[np.bool_]:
        assert self.test is not None
        try:
            told = {
                site: base64.b64decode(releases[site].told["opening"], validate=True) for site in self.test.evaluators
            }
            return verdict(self.test, told)
        except (KeyError, TypeError, ValueError) as error:
            raise DisclosureRefused(FAILED) from error


class Testing(Evaluating):
    """The joint test of an analysis.

    layout, test: known after the terms, as is threshold: the greatest of all sites. told: the earlier releases that
    count.
    """

    def __init__(self, question: Question) -> None:
        super().__init__((SHARE, MULTIPLY, OPEN), TERMS, None)
        self.question = question
        self.layout: Layout = question.layout()
        self.told: tuple[Remembered, ...] = ()
        self.threshold = 0

    def _go_on(self, releases: Mapping[str, ReceivedMasked]) -> None:
        if self.ask.step == TERMS:
            self._agree(releases)
            self.ask = Ask(SHARE)
        else:
            super()._go_on(releases)

    def _agree(self, releases: Mapping[str, ReceivedMasked]) -> None:
        """The strictest demands of all; and the earlier releases that count, see `remembered`.

        DisclosureRefused("capacity") where they are too many.
        """
        demands, remembered = [], []
        for release in releases.values():
            terms = release.told
            if set(terms) != {"demands", "told"} or not isinstance(terms["told"], list):
                raise ValueError("not the terms of a joint test")
            demands.append(Demands.from_dict(terms["demands"]))
            remembered.append({_remembered(entry) for entry in terms["told"]})
        self.told = counted(remembered)
        if sum(len(labels) for _, labels in self.told) > MOST_REMEMBERED:
            raise DisclosureRefused("capacity")
        told = tuple(Told(name, labels, ()) for name, labels in (*self.question.told_by_plan(), *self.told))
        strict = strictest(demands)
        self.threshold = strict.threshold
        self.question.demand_comparable(self.threshold)
        self.layout, self.test = self.question.tested(told, strict)
        if self.test.rounds() > MOST_TESTING - 3:
            raise DisclosureRefused(FAILED)


def _remembered(entry: object) -> Remembered:
    match entry:
        case [str(name), [str(first), *others]] if len(name) == 64 and first == POPULATION:
            labels = (first, *map(str, others))
            if len(set(labels)) == len(labels) <= MOST_REMEMBERED and all(map(_is_label, others)):
                return name, labels
    raise ValueError("not the terms of a joint test")


def _is_label(word: object) -> bool:
    return isinstance(word, str) and len(word) <= MOST_LABEL and is_label(word)


def masked_of(past: Round) -> dict[str, ReceivedMasked]:
    """The round's releases; ValueError where one is of a clear plan."""
    found = {site: release for site, release in past.releases.items() if isinstance(release, ReceivedMasked)}
    if len(found) < len(past.releases):
        raise ValueError("a clear release among masked ones")
    return found

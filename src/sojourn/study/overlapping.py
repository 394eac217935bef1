"""The rounds in which a masked plan counts whom each two sites have in common.

terms: each site states its demands, what its persons are named by, with which sites its custodian agreed on overlaps,
and its list by a name. blind: each sends its list to each partner, sealed. double: each sends its partners' lists on to
the site that compares the pair, a third one. share, multiply, open: a joint test of what was counted, less the made-up
persons of the pair. tell: of the pairs that passed, the one that compared says its matches, the two their made-up ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import rfc8785

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Estimate, Gathered, Matched, Step
from sojourn.analysis.variable import SITE
from sojourn.disclosure.demands import Demands, strictest
from sojourn.disclosure.masked_gate import ReceivedMasked
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.exchange import roster_hash
from sojourn.secrecy.intersection import MADE_UP, POINT
from sojourn.secrecy.joint import MOST, Form, JointTest, factors
from sojourn.secrecy.masks import Place
from sojourn.statistics.overlap import AGREED, CONTRADICTED, MET, pairs_of
from sojourn.study.circle import Circle
from sojourn.study.joint_rounds import FAILED, Evaluating
from sojourn.study.question import MOST_TESTING, Question
from sojourn.study.transcript import Round, same

TERMS, BLIND, DOUBLE, TELL = "overlap.terms", "overlap.blind", "overlap.double", "overlap.tell"
SHARE, MULTIPLY, OPEN = "overlap.share", "overlap.multiply", "overlap.open"
STEPS: Mapping[str, Step] = MappingProxyType(
    {
        word: Step(word, {"number": (1,)} if word == MULTIPLY else {}, {})
        for word in (TERMS, BLIND, DOUBLE, SHARE, MULTIPLY, OPEN, TELL)
    }
)
MOST_POINTS = 500_000  # of all lists of a study, which every site gets: 21 MB in each of two rounds
MOST_FACTORS = 100_000
_LINKAGE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NAMED = re.compile(r"[0-9a-f]{64}")
_WORDS = {"demands", "linkage", "partners", "list", "met"}


@dataclass(frozen=True)
class Terms:
    """What a site states. linkage: a word, empty for none. partners: sites. list: the name of what it would put in,
    64 hex digits, equal in all studies as long as it is. met: partner → the name of its list that this one was compared
    with; there is no other that it is compared with.
    """

    demands: Demands
    linkage: str
    partners: tuple[str, ...]
    list: str
    met: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        partners = sorted(self.partners)
        words = {"demands": self.demands.to_dict(), "linkage": self.linkage, "partners": partners, "list": self.list}
        return words | {"met": dict(sorted(self.met.items()))}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Terms:
        """Read `to_dict`'s form; ValueError on anything else."""
        if set(document) != _WORDS:
            raise ValueError("not the terms of an overlap")
        linkage, partners, named, met = (document[word] for word in ("linkage", "partners", "list", "met"))
        if not isinstance(linkage, str) or (linkage and not is_linkage(linkage)):
            raise ValueError("not a word for identifiers")
        if not isinstance(partners, list) or not all(isinstance(site, str) for site in partners):
            raise ValueError("not a list of sites")
        if not isinstance(met, Mapping) or not all(map(_is_list, [named, *met.values()])):
            raise ValueError("not the name of a list")
        return cls(Demands.from_dict(document["demands"]), linkage, tuple(partners), named, dict(met))

    def may_meet(self, partner: str, theirs: str) -> bool:
        """Whether this list may be compared with that one."""
        return self.met.get(partner, theirs) == theirs


@dataclass(frozen=True)
class Pair:
    """Two sites that agreed, and a third that compares their lists. place: what their secrets are derived for."""

    first: str
    second: str
    third: str
    place: Place

    @property
    def sites(self) -> tuple[str, str]:
        """The two that are counted."""
        return self.first, self.second

    def other(self, site: str) -> str:
        """The partner of one of them."""
        return self.second if site == self.first else self.first


class Overlapping(Evaluating):
    """Where the rounds stand. terms, pairs, threshold: known after the first. size: points of every list.

    met: pairs of sites that agreed, and one of which has a list that was compared with another one.
    passed: of each pair whether its number is told, once the test was opened. counted: of each pair that number; None
    where its three sites contradict one another. done: there is nothing more to ask.
    """

    def __init__(self, question: Question, statistic: Matched) -> None:
        super().__init__((SHARE, MULTIPLY, OPEN), TERMS, None)
        self.question = question
        self.size = statistic.most + MADE_UP
        self.terms: dict[str, Terms] = {}
        self.pairs: tuple[Pair, ...] = ()
        self.met: tuple[tuple[str, str], ...] = ()
        self.threshold = 0
        self.passed: tuple[bool, ...] = ()
        self.counted: dict[int, int | None] = {}
        self.done = False

    def pairs_with(self, site: str) -> list[tuple[int, Pair]]:
        """The pairs that a site is one of, with their places."""
        return [(number, pair) for number, pair in enumerate(self.pairs) if site in pair.sites]

    def doubled_at(self, site: str, third: str) -> list[tuple[int, Pair]]:
        """Whose lists a site sends on to another one, in the order in which they stand in what it sends."""
        return [(number, pair) for number, pair in self.pairs_with(site) if pair.third == third]

    def part(self, bundle: bytes, site: str, third: str, number: int) -> bytes:
        """The list of one pair in what a site sent on."""
        order = [place for place, _ in self.doubled_at(site, third)]
        length = self.size * POINT
        if len(bundle) != length * len(order):
            raise ValueError("not so many lists")
        start = order.index(number) * length
        return bundle[start : start + length]

    def told_pairs(self) -> list[int]:
        """The pairs that passed."""
        return [number for number, passed in enumerate(self.passed) if passed]

    def _go_on(self, releases: Mapping[str, ReceivedMasked]) -> None:
        step = self.ask.step
        if step == TERMS:
            self._agree({site: Terms.from_dict(release.told) for site, release in releases.items()})
            self.ask, self.done = Ask(BLIND), not self.pairs
        elif step == BLIND:
            self.ask = Ask(DOUBLE)
        elif step == DOUBLE:
            self.ask = Ask(SHARE)
        elif step == TELL:
            self.counted, self.done = {number: self._number(number, releases) for number in self.told_pairs()}, True
        else:
            super()._go_on(releases)
            if self.bits is not None:
                self.passed = tuple(map(bool, self.bits))
                self.ask, self.done = Ask(TELL), not any(self.passed)

    def _agree(self, terms: dict[str, Terms]) -> None:
        """DisclosureRefused where the lists, or the test of what they give, would be too large."""
        self.terms, circle = terms, self.question.circle
        self.threshold = strictest(each.demands for each in terms.values()).threshold
        agreed = [
            (one, other)
            for one, other in pairs_of(circle.sites)
            if other in terms[one].partners and one in terms[other].partners
            if terms[one].linkage == terms[other].linkage != ""
        ]
        new = [
            (one, other)
            for one, other in agreed
            if terms[one].may_meet(other, terms[other].list) and terms[other].may_meet(one, terms[one].list)
        ]
        self.met = tuple(pair for pair in agreed if pair not in new)
        self.pairs = tuple(
            Pair(one, other, third_of(circle, one, other), place_of(circle, terms, one, other)) for one, other in new
        )
        if not self.pairs:
            return
        if 2 * len(self.pairs) * self.size > MOST_POINTS:
            raise DisclosureRefused("capacity")
        self.test = counting(circle.sites, self.question.evaluators, self.pairs, self.threshold)
        if sum(map(factors, self.test.conditions)) > MOST_FACTORS:
            raise DisclosureRefused("capacity")
        if self.test.rounds() > MOST_TESTING - 3:
            raise DisclosureRefused(FAILED)

    def _number(self, place: int, releases: Mapping[str, ReceivedMasked]) -> int | None:
        pair = self.pairs[place]
        matches = _said(releases[pair.third], "matches", place)
        added = {_said(releases[site], "added", place) for site in pair.sites}
        if matches is None or len(added) > 1 or None in added:
            return None
        found = matches - next(number for number in added if number is not None)
        return found if self.threshold <= found <= self.size else None


class OverlapReplay:
    """As `masked.MaskedReplay`, of an overlap. `state`: what is asked now, or the conclusion."""

    def __init__(self, question: Question) -> None:
        assert isinstance(question.statistic, Matched)
        self.question = question
        self.matching = Overlapping(question, question.statistic)
        self.state: Ask | Estimate = self.matching.ask

    @property
    def asked(self) -> tuple[str, ...]:
        """The sites that are asked now."""
        assert isinstance(self.state, Ask)
        evaluating = self.state.step in (MULTIPLY, OPEN)
        return self.question.evaluators if evaluating else self.question.circle.sites

    def tell(self, past: Round) -> None:
        """Go on by a round; ValueError where it does not follow, DisclosureRefused where there will be no answer."""
        if isinstance(self.state, Estimate):
            raise ValueError("the transcript goes on after its end")
        if not same(self.state, past.ask):
            raise ValueError("a broadcast does not follow from the releases before it")
        self.matching.tell(past)
        self.state = self._concluded() if self.matching.done else self.matching.ask

    def _concluded(self) -> Estimate:
        statistic, variables = self.question.statistic, self.question.variables
        coordinator = statistic.coordinator(variables)
        next(coordinator)
        try:
            coordinator.send(Gathered(self._found(), {}))
        except StopIteration as end:
            estimate: Estimate = end.value
            return estimate
        raise ValueError("an overlap has one answer")

    def _found(self) -> Partial:
        places = {pair: place for place, pair in enumerate(pairs_of(self.question.variables[SITE].levels))}
        state, persons = (np.zeros(len(places), dtype=np.int64) for _ in range(2))
        hidden = np.ones(len(places), dtype=bool)
        for sites in self.matching.met:
            state[places[sites]] = MET
        for number, pair in enumerate(self.matching.pairs):
            place, found = places[pair.sites], self.matching.counted.get(number)
            contradicted = number in self.matching.counted and found is None
            state[place] = CONTRADICTED if contradicted else AGREED
            if found is not None:
                persons[place], hidden[place] = found, False
        return Partial({"persons": persons, "state": state}, {"persons": hidden} if hidden.any() else {})


def _is_list(name: object) -> bool:
    return isinstance(name, str) and _NAMED.fullmatch(name) is not None


def is_linkage(word: str) -> bool:
    """Whether this is a word for what persons are named by."""
    return _LINKAGE.fullmatch(word) is not None


def third_of(circle: Circle, one: str, other: str) -> str:
    """The site that compares two sites' lists, by a lot that sites and their keys draw, the same in all studies."""
    thirds = [site for site in circle.sites if site not in (one, other)]
    return min(thirds, key=lambda site: hashlib.sha256(f"{circle.members}\n{one}\n{other}\n{site}".encode()).digest())


def place_of(circle: Circle, terms: Mapping[str, Terms], one: str, other: str) -> Place:
    """What two sites derive secrets for: these two lists, in whatever study, so that the same are sent again."""
    words = ["sojourn-overlap-v1", terms[one].linkage, [[site, terms[site].list] for site in (one, other)]]
    named = hashlib.sha256(rfc8785.dumps(words)).hexdigest()
    return Place(named[:32], "overlap", named, roster_hash({site: circle.keys[site] for site in (one, other)}))


def counting(sites: Sequence[str], evaluators: Sequence[str], pairs: Sequence[Pair], threshold: int) -> JointTest:
    """Whether each pair has at least T in common, and each of the two at least T more.

    A site puts in one number a pair, its matches where it compares and its made-up persons where it is counted, and
    last how many persons it has. Matches less made-up persons may not be negative either, as they are where a site
    left made-up persons out: else few in common would pass as none of 0 .. T - 1. Each of the two tests with its own.
    """
    place = {site: number for number, site in enumerate(sites)}
    conditions = []
    for number, pair in enumerate(pairs):
        third, forms = place[pair.third], []
        for site in map(place.__getitem__, pair.sites):
            forms.append(Form((), ((third, number, 1), (site, number, -1)), -MADE_UP, threshold - 1))
            rest = ((site, len(pairs), 1), (site, number, 1), (third, number, -1))
            forms.append(Form((), rest, 0, threshold - 1))
        conditions.append(((tuple(forms),),))
    return JointTest(tuple(sites), tuple(evaluators), len(pairs) + 1, tuple(conditions))


def _said(release: ReceivedMasked, word: str, place: int) -> int | None:
    numbers = release.told.get(word)
    found = numbers.get(str(place)) if isinstance(numbers, Mapping) else None
    return found if type(found) is int and 0 <= found <= MOST else None

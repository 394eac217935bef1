"""The transcript of a masked analysis: the joint test's rounds, then the statistic's, of which only sums exist.

Of a statistic that compares, not even sums: after the joint test come the rounds of a second one (`comparing`). Of one
that gives squares about means, those of a second one come between sums and squares (`squaring`).

The same law as of a clear one (`transcript`): each ask follows from the rounds before it. Beyond it: every round has
the whole roster; every answer states the circle of sites and the hash of the rounds before it, as its site has seen
them, and a mask belongs to that hash, so that sites that were shown different rounds give no sum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import rfc8785

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Compared, Coordinator, Estimate, Gathered, Matched, Squared, Step, fits
from sojourn.disclosure.masked_gate import Masks, ReceivedMasked, summed
from sojourn.errors import DisclosureRefused
from sojourn.study import comparing, joint_rounds, overlapping, squaring
from sojourn.study.comparing import Comparing
from sojourn.study.joint_rounds import Testing, masked_of
from sojourn.study.overlapping import OverlapReplay
from sojourn.study.question import Question
from sojourn.study.squaring import Squaring
from sojourn.study.transcript import Round, grounded, same

VETO = "a site's gate"
_STEPS = {**joint_rounds.STEPS, **comparing.STEPS, **squaring.STEPS}
_EVALUATED = {joint_rounds.MULTIPLY, joint_rounds.OPEN, comparing.MULTIPLY, comparing.OPEN}
_EVALUATED |= {overlapping.MULTIPLY, overlapping.OPEN, squaring.MULTIPLY, squaring.OPEN}
_ROUND = b"sojourn-masked-round-v1\n"
_BEGINNING = hashlib.sha256(_ROUND).hexdigest()


class MaskedReplay:
    """A coordinator that is told one round after the other. `state`: what it asks now, or concludes.

    testing: the joint test, which comes first. cells: by array, what failed in it, once it has ended. comparing: what
    comes then of a statistic that compares; its own numbers are never asked for. squaring: what comes before squares.
    """

    def __init__(self, question: Question) -> None:
        """DisclosureRefused where there is no joint test for what is asked."""
        self.question = question
        self._steps = {step.name: step for step in question.statistic.steps(question.variables)}
        self._coordinator: Coordinator | None = None
        self.testing = Testing(question)
        self.comparing: Comparing | None = None
        self.squaring: Squaring | None = None
        self.cells: Masks = {}
        self.latest = Partial({})  # the sums of the round before
        self.state: Ask | Estimate = self.testing.ask

    @property
    def asked(self) -> tuple[str, ...]:
        """The sites that are asked now: those that evaluate, where only they have anything to say; else all."""
        assert isinstance(self.state, Ask)
        return asked_sites(self.question, self.state)

    @property
    def tested(self) -> bool:
        """Whether the joint test has ended, so that the statistic itself asks."""
        return self._coordinator is not None

    def tell(self, past: Round) -> None:
        """Go on by a round; ValueError where it does not follow, DisclosureRefused where there will be no answer."""
        if isinstance(self.state, Estimate):
            raise ValueError("the transcript goes on after its end")
        if not same(self.state, past.ask):
            raise ValueError("a broadcast does not follow from the releases before it")
        evaluating = self.comparing or self.spreading or (self.testing if self._coordinator is None else None)
        if evaluating is not None:
            evaluating.tell(past)
            if evaluating.bits is None:
                self.state = self._declared(evaluating.ask)
                return
        if self.squaring is not None and evaluating is self.squaring:
            self._go_on(self.squaring)
            return
        if self._coordinator is None:
            self._begin()
            return
        try:
            self.state = self._declared(self._coordinator.send(self._gather(past)))
        except StopIteration as end:
            self.state = end.value
        if isinstance(self.state, Estimate):
            return
        if self.comparing is not None:
            raise ValueError("a comparison has one answer")
        statistic, ask = self.question.statistic, self.state
        if self.squaring is None and isinstance(statistic, Squared) and ask.step == statistic.squared:
            self.squaring = Squaring(self.question, statistic, ask, self.testing.layout, self.cells)
            self._go_on(self.squaring)

    def _go_on(self, squaring: Squaring) -> None:
        """With the test of squares, or beyond it."""
        if squaring.over:
            self.cells = squaring.cells()
        self.state = squaring.waiting if squaring.over else self._declared(squaring.ask)

    @property
    def spreading(self) -> Squaring | None:
        """The test of squares, while it goes on."""
        return self.squaring if self.squaring is not None and not self.squaring.over else None

    def _begin(self) -> None:
        """The joint test has ended: the statistic asks, or its comparison begins."""
        assert self.testing.bits is not None
        question = self.question
        shapes = {name: shape for step in self._steps.values() for name, shape in step.partial.items()}
        self.cells = self.testing.layout.masks(self.testing.bits, shapes)
        self._coordinator = question.statistic.coordinator(question.variables)
        ask = self._declared(next(self._coordinator))
        if isinstance(question.statistic, Compared):
            self.comparing = Comparing(question, question.statistic, ask, self.cells, self.testing.threshold)
            ask = self._declared(self.comparing.ask)
        self.state = ask

    @property
    def first(self) -> Step:
        """What the statistic asks first."""
        return next(iter(self._steps.values()))

    def step(self, ask: Ask) -> Step:
        """What is declared of an ask."""
        return _STEPS[ask.step] if ask.step in _STEPS else self._steps[ask.step]

    def _gather(self, past: Round) -> Gathered:
        if self.comparing is not None:
            total = self.comparing.sums()
        else:
            rings = [one.ring for one in masked_of(past).values()]
            total = summed(self._steps[past.ask.step], rings, self.cells)
        if total is None:
            raise DisclosureRefused(VETO)
        self.latest = total
        return Gathered(total, {})

    def _declared(self, ask: Ask) -> Ask:
        if not fits(ask, self.step(ask)):
            raise ValueError("the coordinator asks what its steps do not declare")
        return ask


def replaying(question: Question) -> MaskedReplay | OverlapReplay:
    """An analysis of a masked plan at its beginning; DisclosureRefused as `MaskedReplay`."""
    return OverlapReplay(question) if isinstance(question.statistic, Matched) else MaskedReplay(question)


def replay_masked(question: Question, rounds: Sequence[Round]) -> MaskedReplay | OverlapReplay:
    """Where an analysis stands after these rounds; raises as `tell` does."""
    told = replaying(question)
    for past in rounds:
        told.tell(past)
    return told


def history(rounds: Sequence[Round]) -> str:
    """sha256 (hex) of these rounds: each ask, and each site's release."""
    return history_of((past.digest, _digests(past)) for past in rounds)


def history_of(rounds: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    """`history` of rounds of which only hashes are known: of each ask, and of each site's release."""
    told = _BEGINNING
    for ask, said in rounds:
        told = _after(told, ask, said)
    return told


def said_of(roster: str, rounds: Sequence[Round], estimate: str | None) -> dict[str, str]:
    """What the hub's log says of a masked analysis at its end, for all to compare: hashes of the circle, of all rounds
    and of the result's JSON; no hash where there is no result.
    """
    result = "" if estimate is None else hashlib.sha256(rfc8785.dumps(json.loads(estimate))).hexdigest()
    return {"roster": roster, "transcript": history(rounds), "result": result}


def _digests(past: Round) -> dict[str, str]:
    return {site: release.digest() for site, release in past.releases.items()}


def _after(before: str, ask: str, said: Mapping[str, str]) -> str:
    return hashlib.sha256(_ROUND + rfc8785.dumps([before, ask, dict(said)])).hexdigest()


def asked_sites(question: Question, ask: Ask) -> tuple[str, ...]:
    """Whom an ask is for."""
    return question.evaluators if ask.step in _EVALUATED else question.circle.sites


def coherent_masked(question: Question, rounds: Sequence[Round], plan_hash: str, rehearsal: bool) -> bool:
    """As `coherent`; every round has all whom it asks, and every site has seen the same rounds before it."""
    if not grounded(rounds, question.study, plan_hash, question.analysis, rehearsal):
        return False
    before = _BEGINNING
    for past in rounds:
        if set(past.releases) != set(asked_sites(question, past.ask)):
            return False
        for release in past.releases.values():
            if not isinstance(release, ReceivedMasked):
                return False
            if (release.header.roster, release.header.transcript) != (question.circle.hash, before):
                return False
        before = _after(before, past.digest, _digests(past))
    return True

"""The way out of a masked plan: what leaves is under masks or sealed to one site, and the same whatever is in it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap
from sqlalchemy import Connection

from sojourn.analysis.partial import Partial
from sojourn.analysis.population import nobody
from sojourn.analysis.statistic import Ask, Step
from sojourn.analysis.support import Contributions, Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.gate import fault_of
from sojourn.disclosure.header import Header
from sojourn.disclosure.joint_earlier import vanished
from sojourn.disclosure.joint_questions import Told
from sojourn.disclosure.masked_gate import MaskedRelease, masked, numbers_of, shares
from sojourn.disclosure.output import Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import Policy
from sojourn.disclosure.rehearsal import Rehearsed
from sojourn.errors import AuditError, DisclosureRefused, SiteRefused, SojournError
from sojourn.messages import AskDocument
from sojourn.node.admission import reason_of
from sojourn.node.airlock import Airlock
from sojourn.node.decisions import Place, sealed
from sojourn.node.joint_part import JointPart
from sojourn.node.masked_store import MaskedStore, charge
from sojourn.node.masking import Masking
from sojourn.secrecy.ring import Ring
from sojourn.study.circle import Circle
from sojourn.study.joint_rounds import SHARE, TERMS
from sojourn.study.masked import MaskedReplay, history
from sojourn.study.question import told_in_plan
from sojourn.study.squaring import Squaring
from sojourn.study.transcript import Round

Found = TypeVar("Found")
STOPPED = ("cancelled", "revoked")  # said openly: they are decisions about the study, not about records


@dataclass(frozen=True)
class Evidence:
    """What a run's computation can say: of an analysis its support; of an ask the site's numbers, how much of the sums
    over all sites one person here decides, and what persons give to squares.
    """

    support: Callable[[str], Support]
    measure: Callable[[Ask], Output]
    leverage: Callable[[Ask, Partial], float | None]
    squares: Callable[[Ask], tuple[Contributions, ...]]


@dataclass(frozen=True)
class MaskedAirlock:
    """One answer at a time of one site.

    journal: keeps for the custodian why a site gave nothing. stopping: the node ends, so that a failure says nothing.
    exhausted: the researcher has asked too much in vain, so that this site takes part with nothing.
    """

    airlock: Airlock
    masking: Masking
    journal: Callable[[str], None]
    stopping: Callable[[], bool] = lambda: False
    exhausted: Callable[[], bool] = lambda: False

    def pass_out(self, place: Place, told: MaskedReplay, rounds: list[Round], evidence: Evidence, now: float) -> None:
        """Store this site's sealed answer to what the coordinator asks now.

        SiteRefused("roster differs") where the dataset was summed over other sites before its first numbers here,
        SiteRefused("differencing") where it was on a snapshot that is gone.
        """
        with self.airlock.ledgers.lock(place.run.dataset):
            self._demand_comparable(place, told)
            self._judge(place, told, rounds, evidence, now)()

    def judged(
        self, place: Place, told: MaskedReplay, rounds: list[Round], evidence: Evidence, now: float
    ) -> Callable[[float], None]:
        """The same for an answer that leaves later: what this gives stores it, and raises as `pass_out` does.

        What left meanwhile counts: then the answer is judged once more.
        """
        with self.airlock.ledgers.lock(place.run.dataset):
            self._demand_comparable(place, told)
            state, store = self._state(place, now), self._judge(place, told, rounds, evidence, now)

        def leave(now: float) -> None:
            with self.airlock.ledgers.lock(place.run.dataset):
                if state == self._state(place, now):
                    store()
                else:
                    self.pass_out(place, told, rounds, evidence, now)

        return leave

    def _demand_comparable(self, place: Place, told: MaskedReplay) -> None:
        if not told.tested and self._forgotten(place):
            raise SiteRefused("differencing")
        if not self._charged(place) and self._masked.other_rosters(place.run):
            raise SiteRefused("roster differs")

    def _state(self, place: Place, now: float) -> object:
        """All that a judgement knows of other studies."""
        masked, run = self._masked, place.run
        return masked.newest(run.dataset), masked.newest_sum(run), masked.rosters(run), masked.outranked(run, now)

    @staticmethod
    def reads(told: MaskedReplay) -> bool:
        """Whether the answer to what is asked now rests on records, so that it takes as long as there are any."""
        assert isinstance(told.state, Ask)
        if (second := told.comparing or told.spreading) is not None:
            return told.state.step == second.share
        return told.tested or told.state.step == SHARE

    def _judge(
        self, place: Place, told: MaskedReplay, rounds: list[Round], evidence: Evidence, now: float
    ) -> Callable[[], None]:
        assert isinstance(told.state, Ask) and place.run.circle is not None
        ask, vetoed = told.state, ""
        before, circle = history(rounds), place.run.circle
        header, withheld = self._header(place, circle, before), self._withheld(place)
        if told.comparing is not None:
            release, vetoed = self._compared(place, told, ask, rounds, evidence, header, withheld, now)
        elif told.spreading is not None:
            release, vetoed = self._spread(place, told.spreading, ask, rounds, evidence, header, withheld)
        elif told.tested:
            release, vetoed = self._numbers(place, told, ask, evidence, header, withheld, now)
        else:
            release, withheld = self._part(place, told, ask, rounds, evidence, header, withheld)
        note = f"vetoed: {vetoed}" if vetoed else f"takes part with nothing: {withheld}" if withheld else ""
        row = self.airlock.decision(place, now) | sealed(place, release, self.airlock.key, self.airlock.site)
        row |= {"note": note, "withheld": withheld, "newest": self._newest(place, ask.step)}
        row |= {"numbers": _numbers_of(told, ask)}
        facts = {
            **{"analysis": place.analysis, "round": place.round, "ask": place.ask, "release": release.digest()},
            **{"roster": circle.hash, "transcript": before},
        }
        known = self._charge(place, told, evidence, withheld, bool(vetoed))
        entries = [self._entry("release.sealed", place, facts)]
        if known is not None:
            counted = {"analysis": place.analysis, "sets": len(known.labels), "roster": circle.hash}
            entries.insert(0, self._entry("ledger.charged", place, counted))
        charged = None if known is None else charge(place.run, place.analysis, known, bool(vetoed))
        wanted = _numbers_of(told, ask) or (numbers_of(told.first) if ask.step == TERMS else 0)
        capped = self.airlock.shown.capped(place, wanted, self.airlock.policy_of(place))

        def both(connection: Connection) -> None:
            if wanted:  # at the terms already, so that what may not be had is not tested
                capped(connection)
            if charged is not None:
                charged(connection)

        def store() -> None:
            try:
                self.airlock.store.seal(row, entries, (), place.run.dataset, also=both)
            except DisclosureRefused as error:
                raise SiteRefused(error.family) from error  # said openly: it depends on what was asked alone

        return store

    def _forgotten(self, place: Place) -> bool:
        """Whether nobody can say which values changed since an earlier sum; a site that puts in nothing has none."""
        return not place.run.withheld and self._masked.forgotten(place.run, self.airlock.ledgers.changes)

    def _entry(self, kind: str, place: Place, facts: dict[str, object]) -> Entry:
        actor = f"node:{self.airlock.site}"
        return Entry(kind, actor, study=place.run.request.study, dataset=place.run.dataset, facts=facts)

    def _withheld(self, place: Place) -> str:
        """Why this site takes part with nothing, as it was decided at the latest when it shared its support."""
        return place.run.withheld or self.airlock.store.withheld(place.run.request.study, place.analysis)

    def _part(
        self,
        place: Place,
        told: MaskedReplay,
        ask: Ask,
        rounds: list[Round],
        evidence: Evidence,
        header: Header,
        withheld: str,
    ) -> tuple[MaskedRelease, str]:
        """This site's part in a round of the joint test; and why it put in nothing, where it did."""
        layout, why = told.testing.layout, [withheld]

        def numbers() -> NDArray[np.int64]:
            if not withheld and self.exhausted():
                why[0] = "attempts"
            elif not withheld:
                found, why[0] = self._tried(lambda: self._support(place, told, evidence))
                if found is not None:
                    return found
            known = [self._earlier(place, name, labels, evidence) for name, labels in layout.told]
            return vanished(layout, known, self._masked.shown_in_clear(place.run.dataset))

        part = JointPart(self.masking, place, told.testing, rounds, self._masked.remembered(place.run), numbers)
        open_words, sealed = part.of(ask)
        return shares(self._policy(place), header, open_words, sealed), why[0]

    def _support(self, place: Place, told: MaskedReplay, evidence: Evidence) -> NDArray[np.int64]:
        """What this site puts into the joint test: how many persons, and what is known of them already."""
        parameters = getattr(self._policy(place), "parameters", Parameters())
        clear = self._masked.shown_in_clear(place.run.dataset)
        earlier = [self._earlier(place, name, labels, evidence) for name, labels in told.testing.layout.told]
        layout, support = told.testing.layout, evidence.support(place.analysis)
        values = self._masked.values_in_clear(place.run, layout.summed, self.airlock.ledgers.changes)
        return layout.numbers(support, parameters, clear, earlier, values)

    def _earlier(self, place: Place, name: str, labels: tuple[str, ...], evidence: Evidence) -> Told:
        """This site's part of what an analysis of the same plan, or an earlier study, made known."""
        analyses = place.run.plan.analyses
        if name not in analyses:
            return self._masked.told(place.run, name, labels, self.airlock.ledgers.changes)
        if place.run.withheld or self.airlock.store.withheld(place.run.request.study, name):
            return Told(name, labels, tuple(BitMap() for _ in labels))
        return told_in_plan(name, analyses[name], place.run.variables, evidence.support(name))

    def _policy(self, place: Place) -> Policy:
        policy = self.airlock.policy_of(place)
        return Rehearsed(policy) if place.run.request.rehearsal else policy

    @property
    def _masked(self) -> MaskedStore:
        return MaskedStore(self.airlock.store)

    def _charge(self, place: Place, told: MaskedReplay, evidence: Evidence, withheld: str, vetoed: bool) -> Told | None:
        """What the analysis's first numbers make known of this site's persons; None in later rounds.

        A veto is charged alike: who does not remember an analysis later would be the one that vetoed it.
        """
        if not told.tested or self._charged(place):
            return None
        assert isinstance(told.state, Ask) and told.testing.bits is not None
        if told.comparing is not None and told.state.step != told.comparing.share:
            return None  # a site that vetoed a comparison goes on as the others do
        statistic, variables = place.run.plan.analyses[place.analysis], place.run.variables
        nothing = statistic.support(nobody(self.airlock.site, variables))
        layout, bits = told.testing.layout, told.testing.bits

        def known() -> Told:
            return layout.release(place.analysis, bits, nothing if withheld else evidence.support(place.analysis))

        found = self._tried(known)[0] if vetoed else known()
        return found or layout.release(place.analysis, bits, nothing)

    def _measured(self, place: Place, told: MaskedReplay, ask: Ask, evidence: Evidence) -> Output:
        """This site's numbers; DisclosureRefused where one person decides too much of the sums of all sites."""
        parameters = getattr(self._policy(place), "parameters", None)
        output, largest = evidence.measure(ask), evidence.leverage(ask, told.latest)
        if parameters is not None and largest is not None and largest > parameters.leverage:
            raise DisclosureRefused("design support")
        return output

    def _overtaken(self, place: Place, now: float) -> bool:
        """Whether something that the joint test does not know of left before the first numbers: a masked sum of another
        study since this site's terms, or a clear release since its share; or will leave, of a study that comes first.
        Two studies that are tested at the same time do not know of each other.
        """
        if self._charged(place):
            return False
        if self._masked.outranked(place.run, now):
            return True
        study, analysis = place.run.request.study, place.analysis
        asks = {step: AskDocument.of(Ask(step)).digest(study, analysis) for step in (TERMS, SHARE)}
        return any(
            self._masked.newest_when(study, analysis, ask) != self._newest(place, step) for step, ask in asks.items()
        )

    def _newest(self, place: Place, step: str) -> int | None:
        """What is remembered with the answer to a step of the joint test, to be compared at the first numbers."""
        match step:
            case "joint.terms":
                return self._masked.newest_sum(place.run)
            case "joint.share":
                return self._masked.newest(place.run.dataset)
        return None

    def _charged(self, place: Place) -> bool:
        """Whether the analysis has given its first numbers here."""
        return self._masked.charged(place.run.request.study, place.analysis)

    def _numbers(
        self, place: Place, told: MaskedReplay, ask: Ask, evidence: Evidence, header: Header, withheld: str, now: float
    ) -> tuple[MaskedRelease, str]:
        """The statistic's own numbers of this round; random ones and a veto where they may not leave."""
        step, why = told.step(ask), ""
        output: Output | Step | None = step
        if self._overtaken(place, now):
            output, why = None, "differencing"
        elif not withheld:
            output, why = self._tried(lambda: self._measured(place, told, ask, evidence))
        circle, where = told.question.circle, (place.run.request.study, place.analysis, place.ask)

        def under_masks(vector: Ring) -> Ring:
            return self.masking.mask(vector, circle, where, header.transcript)

        policy, parties = self._policy(place), len(circle.keys)
        veto = output is None
        return masked(output or step, policy, header, told.cells, parties, under_masks, veto=veto), why

    def _compared(
        self,
        place: Place,
        told: MaskedReplay,
        ask: Ask,
        rounds: list[Round],
        evidence: Evidence,
        header: Header,
        withheld: str,
        now: float,
    ) -> tuple[MaskedRelease, str]:
        """This site's part in a round of a comparison; and why it vetoed it, where it did."""
        comparing, why = told.comparing, [""]
        assert comparing is not None

        def counted() -> NDArray[np.int64]:
            output = self._measured(place, told, comparing.counting, evidence)
            if fault_of(output):
                raise DisclosureRefused("output schema")
            return comparing.numbers(output.partial)

        def numbers() -> NDArray[np.int64]:
            if self._overtaken(place, now):
                why[0] = "differencing"
                return comparing.nothing(veto=True)
            if withheld:
                return comparing.nothing()
            found, why[0] = self._tried(counted)
            return comparing.nothing(veto=True) if found is None else found

        open_words, sealed = JointPart(self.masking, place, comparing, rounds, [], numbers).of(ask)
        return shares(self._policy(place), header, open_words, sealed), why[0]

    def _spread(
        self,
        place: Place,
        spreading: Squaring,
        ask: Ask,
        rounds: list[Round],
        evidence: Evidence,
        header: Header,
        withheld: str,
    ) -> tuple[MaskedRelease, str]:
        """This site's part in a round of the test of squares; and why it lets none pass, where it does not."""
        squares, why = spreading.squares, [""]

        def found() -> NDArray[np.int64]:
            parameters = getattr(self._policy(place), "parameters", Parameters())
            clear, support = self._masked.shown_in_clear(place.run.dataset), evidence.support(place.analysis)
            return squares.numbers(support, evidence.squares(spreading.waiting), parameters, clear)

        def numbers() -> NDArray[np.int64]:
            if withheld:
                return squares.nothing()
            mine, why[0] = self._tried(found)
            return squares.unknown() if mine is None else mine

        open_words, sealed = JointPart(self.masking, place, spreading, rounds, [], numbers).of(ask)
        return shares(self._policy(place), header, open_words, sealed), why[0]

    def _tried(self, find: Callable[[], Found]) -> tuple[Found | None, str]:
        """What is found; or None and why, which the site's custodian alone sees."""
        try:
            return find(), ""
        except AuditError:
            raise  # what cannot be logged now is asked for again
        except SojournError as error:
            if self.stopping() or reason_of(error) in STOPPED:
                raise
            self.journal(traceback.format_exc())
            return None, reason_of(error)
        except Exception as error:
            if self.stopping():
                raise SiteRefused("cancelled") from error
            self.journal(traceback.format_exc())
            return None, "internal"

    def _header(self, place: Place, circle: Circle, before: str) -> Header:
        commitment = self.masking.commitment(place.run.request.study, place.run.snapshot)
        header = self.airlock.header(place)
        return replace(header, snapshot=commitment, roster=circle.hash, transcript=before)


def _numbers_of(told: MaskedReplay, ask: Ask) -> int:
    """How many numbers an answer adds to what is known: those of its step, or the bits of a comparison."""
    if told.comparing is not None and ask.step == told.comparing.share:
        return len(told.comparing.places)
    return numbers_of(told.step(ask))

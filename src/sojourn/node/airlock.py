"""The one way out of a node: judge, release or hold, sign, seal, store, hand over. What it stores is what leaves.

The way of an output: the rules' word; what the ledger knows; the site's model of risk, which may raise the tier; then
it is refused, leaves at once, leaves under an approval for its run, waits for a checker, or is refused for want of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Step, most_numbers
from sojourn.analysis.support import Capacity, Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.differencing import Judgement, kept
from sojourn.disclosure.families.capacity import distinct
from sojourn.disclosure.formal_privacy import Formal, Noised
from sojourn.disclosure.gate import (
    Decided,
    Header,
    Held,
    Looked,
    Policy,
    Release,
    automatic_of,
    hold,
    judge,
    look,
    release,
    repeat,
)
from sojourn.disclosure.ledger import Charge, charges, hidden_in
from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.disclosure.policy import StandardPolicy, for_dataset
from sojourn.disclosure.rehearsal import HELD, Rehearsed
from sojourn.disclosure.review import REVIEW, bench, enough, finding_to_dict, no_riskier
from sojourn.disclosure.rules import by_itself, joined
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.node.admission import Run
from sojourn.node.decisions import Place, decided, decision, header_of, question, review_id, sealed
from sojourn.node.evidence import support_to_dict
from sojourn.node.histories import UNUSUAL, Histories
from sojourn.node.learning import Learning
from sojourn.node.ledgers import Ledgers
from sojourn.node.masked_store import summed_before
from sojourn.node.masking import Masking
from sojourn.node.privacy import FormalPrivacy, Measure
from sojourn.node.review_store import ReviewStore
from sojourn.node.shown_store import REPEATED, ShownStore, origin_of
from sojourn.node.store import NodeStore


@dataclass(frozen=True)
class Airlock:
    """The site's gate with its policy, its signing key and its store."""

    store: NodeStore
    policy: Policy
    site: str
    key: PrivateKey
    ledgers: Ledgers
    privacy: FormalPrivacy | None = None
    repeats: bool = True
    usual_asks: int = 0  # see `Histories`
    masking: Masking | None = None
    learning: Learning = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning", Learning(self.reviews))

    @property
    def shown(self) -> ShownStore:
        """What left before."""
        return ShownStore(self.store)

    @property
    def reviews(self) -> ReviewStore:
        """What waits here for a checker."""
        return ReviewStore(self.store)

    @property
    def histories(self) -> Histories:
        """What researchers asked here before, and the alarms about it."""
        return Histories(self.store, self.site, self.usual_asks)

    def private(self, place: Place, ask: Ask, measure: Measure, now: float) -> Noised | None:
        """The noisy answer where the dataset is under formal privacy, else None; DisclosureRefused, noted inside."""
        if self.privacy is None:
            return None
        attended = Formal(self.policy_of(place), Tier.MEDIUM).leaves or enough(Tier.MEDIUM, self.seated(place.run))
        if place.run.dataset in self.privacy.budgets and self.histories.finding(place.run.request.study):
            self.refuse(place, UNUSUAL, "", now)  # no checker looks at a noisy answer, so nothing is drawn
            raise DisclosureRefused(UNUSUAL)
        try:
            return self.privacy.answer(place.run, place.analysis, ask, measure, attended, now)
        except DisclosureRefused as refused:
            self.refuse(place, refused.family, "", now)
            raise

    def pass_out(
        self,
        place: Place,
        step: Step,
        partial: Partial,
        support: Support,
        now: float,
        noised: Noised | None = None,
    ) -> None:
        """Store the sealed answer for this ask, or hold it for a checker; DisclosureRefused where the gate refuses,
        the reason noted inside.

        The first release of an analysis is compared with the ledger and charges it, once for all its rounds, in the
        release's own transaction. Later rounds show what was charged and no more. Tables are judged beside those that
        left of the same persons.
        """
        statistic = place.run.plan.analyses[place.analysis]
        spent = self.shown.spent(place.run.request.study, place.analysis)
        most = most_numbers(statistic, place.run.variables, support.design is not None)
        support = replace(support, capacity=Capacity(spent, most))
        output = Output(statistic.name, step, partial, support, place.run.variables, statistic.rules)
        policy = self.policy_of(place)
        if noised is not None:
            self._noisy(place, output, noised, now)
            return
        if place.run.request.rehearsal:
            self._rehearse(place, output, now)
            return
        looked = look(output, policy)
        with self.ledgers.lock(place.run.dataset):  # of two tables at once the second is judged beside the first
            self._judge(place, looked, now)

    def _judge(self, place: Place, looked: Looked, now: float) -> None:
        """Compare with what left before, and decide."""
        output, bounds = looked.output, looked.policy.differencing()
        linked = self.shown.beside(place, output, looked.finding, looked.policy)
        finding = joined([looked.finding, *linked])
        charged = self.store.charged(place.run.request.study, place.analysis)
        if not charged and bounds is not None:
            linked = (*linked, *summed_before(self.store, place.run.dataset, output.support, bounds.threshold))
            finding = joined([finding, *linked])
        if finding.verdict is Verdict.REFUSE or bounds is None or charged:
            more = (kept(output, finding, charged),) if bounds is not None and charged else ()
            self._decide(place, looked, (*linked, *more), now)
            return

        def decide(judged: Judgement, newest: int) -> int:
            return self._decide(place, looked, (judged.finding,), now, judged.charges, newest)

        self.ledgers.release(place.run, place.analysis, output, finding, bounds, decide)

    def asked(self, place: Place, ask: Ask) -> Place:
        """The same with what makes identical asks equal; a testbed's rules, which are an object, have no such word."""
        policy = self.policy_of(place)
        if not isinstance(policy, StandardPolicy):
            return place
        return replace(place, question=question(place.run, place.analysis, ask, policy))

    def repeat(self, place: Place, now: float) -> bool:
        """Let the stored numbers leave again that answered an identical ask of another study; whether they did.

        Nothing is computed and nothing charged: it is known. Only what left by itself is repeated; a checker's word is
        for one study. DisclosureRefused, noted inside, where the asker has had what may be had.
        """
        private = self.privacy is not None and place.run.dataset in self.privacy.budgets
        computed = private or place.run.request.rehearsal or not self.repeats
        computed = computed or bool(self.histories.finding(place.run.request.study))  # people look at it first
        if computed or (row := self.shown.same(place)) is None:
            return False
        signed, policy = json.loads(row["answer"]), self.policy_of(place)
        cleared = repeat(signed, self.key.public, policy, self.header(place))
        if cleared is not None:
            self._out(place, cleared, None, REPEATED, now, sets=(), origin=origin_of(row))
        return cleared is not None

    def _out(
        self, place: Place, cleared: Release, output: Output | None, finding: Finding, now: float, **more: Any
    ) -> int:
        """`leave`, or the refusal noted inside."""
        try:
            return self.leave(place, cleared, output, finding, now, **more)
        except DisclosureRefused as error:
            self.refuse(place, error.family, "capacity: the most that one asker may get in all", now)
            raise

    def _rehearse(self, place: Place, output: Output, now: float) -> None:
        """On a stand-in: the same rules and a ledger of its own, and nobody is asked to look at it."""
        real, policy = self.policy_of(place), Rehearsed(self.policy_of(place))
        looked, bounds = look(output, policy), real.differencing()
        finding: Finding = joined([looked.finding, *self.shown.beside(place, output, looked.finding, real)])
        sets: Sequence[Charge] = ()
        charged = self.store.charged(place.run.request.study, place.analysis)
        if bounds is not None and charged:
            finding = joined([finding, kept(output, finding, charged)])
        elif bounds is not None:
            judged = self.ledgers.judge(place.run, place.analysis, output, finding, bounds)
            finding, sets = judged.finding, judged.charges
        family = finding.family
        if finding.verdict is not Verdict.REFUSE and strictness(finding.tier) > strictness(automatic_of(policy)):
            finding, family = by_itself(finding, automatic_of(policy)), HELD
        if finding.verdict is Verdict.REFUSE:
            self.refuse(place, family, finding.note, now)
            raise DisclosureRefused(family)
        cleared = release(looked, policy, self.header(place), finding)
        self._out(place, cleared, output, finding, now, sets=sets)

    def _noisy(self, place: Place, output: Output, noised: Noised, now: float) -> None:
        """No rule looks at what a noisy answer rests on; no exact set is told (`disclosure/formal_privacy.py`).

        Close to the limit of its budget it waits for a checker; it is charged, whatever the checker says.
        """
        output, base = noised.apply(output), self.policy_of(place)
        policy: Policy = Formal(base, noised.tier)
        policy = Rehearsed(policy) if place.run.request.rehearsal else policy
        header = replace(self.header(place), noise=noised.noise.text())
        looked = look(output, policy)
        finding = looked.finding
        waits = strictness(finding.tier) > strictness(automatic_of(policy))
        standing = self._standing(place, finding) if waits else None
        if waits and standing is None and enough(finding.tier, self.seated(place.run)):
            self._hold(place, hold(looked, policy, header), output, now)
            return
        try:
            cleared = release(looked, policy, header, standing=standing)
        except DisclosureRefused as error:
            self.refuse(place, error.family, finding.note, now)
            raise
        self._out(place, cleared, None, finding, now, sets=())

    def policy_of(self, place: Place) -> Policy:
        """The rules for what leaves from the dataset of a run."""
        return for_dataset(self.policy, place.run.plan.table)

    def _decide(
        self,
        place: Place,
        looked: Looked,
        more: tuple[Finding, ...],
        now: float,
        sets: Sequence[Charge] | None = None,
        newest: int | None = None,
    ) -> int:
        """Release, hold or refuse; the ledger's newest entry then. more: what is known beyond the rules of one output.

        sets, newest: see `leave`.
        """
        output, policy, header = looked.output, looked.policy, self.header(place)
        finding = judge(looked, policy, *more)
        if (model := self.learning.model()) is not None:
            more = (*more, model.judge(joined([finding, *more]), self.learning.features(place, output, finding)))
        more = (*more, *self.histories.finding(place.run.request.study))
        finding = judge(looked, policy, *more)
        refused, risk = finding.verdict is Verdict.REFUSE, strictness(finding.tier)
        waits = not refused and risk > strictness(automatic_of(policy))
        standing = self._standing(place, finding) if waits else None
        if waits and standing is None and enough(finding.tier, self.seated(place.run)):
            self._hold(place, hold(looked, policy, header, *more), output, now)
            return newest or 0
        try:
            cleared = release(looked, policy, header, *more, standing=standing)
        except DisclosureRefused as error:
            self.refuse(place, error.family, finding.note, now)
            raise
        return self._out(place, cleared, output, finding, now, sets=sets, newest=newest)

    def leave(
        self,
        place: Place,
        cleared: Release,
        output: Output | None,
        finding: Finding,
        now: float,
        also: Callable[[Connection], None] | None = None,
        entries: Sequence[Entry] = (),
        sets: Sequence[Charge] | None = None,
        newest: int | None = None,
        origin: tuple[str, str] = ("", ""),
    ) -> int:
        """Sign, seal and store what leaves, with its charge, in one transaction; the ledger's newest entry then.

        SiteRefused where nothing may, DisclosureRefused where its asker has had what may be had. The first release of
        an analysis charges the ledger, once for all its rounds. also, entries: what is decided with it, and the log's
        words on that. sets: the charge, where it was judged already; newest: the newest entry that this judgement knew
        of, LedgerGrew where there is a newer one. output: none where no exact number is new. origin: the study and
        analysis whose stored numbers these are.
        """
        request = place.run.request
        row = self.decision(place, now) | {
            **sealed(place, cleared, self.key, self.site),
            **{"tier": str(cleared.tier), "note": finding.note},
            **{"numbers": distinct(cleared.partial), "question": place.question},
            **{"first_study": origin[0], "first_analysis": origin[1]},
        }
        facts = {
            "analysis": place.analysis,
            "round": place.round,
            "ask": place.ask,
            "release": cleared.digest(),
            "numbers": cleared.partial.numbers(),
            "fields": list(place.run.plan.analyses[place.analysis].variables()),
        }
        written = [*entries, self._entry("release.sealed", place, facts)]
        if self.store.charged(request.study, place.analysis):
            sets = ()
        elif sets is None:
            sets = () if output is None else self._charges(place, output, finding)
        if sets:
            statistic = place.run.plan.analyses[place.analysis]
            most = most_numbers(statistic, place.run.variables)
            told = {"analysis": place.analysis, "sets": len(sets), "most_numbers": most}
            written.insert(len(entries), self._entry("ledger.charged", place, told))
        shown = self.shown.leaving(place, row, cleared.partial, output, self.policy_of(place))

        def both(connection: Connection) -> None:
            shown(connection)
            if also is not None:
                also(connection)

        return self.store.seal(row, written, sets, place.run.dataset, newest, both)

    def _charges(self, place: Place, output: Output, finding: Finding) -> tuple[Charge, ...]:
        hidden = hidden_in(output.partial, output.support, finding.cells)
        return charges(place.run.snapshot, place.analysis, output.support, hidden)

    def seated(self, run: Run) -> dict[str, str]:
        """Who may check outputs of this run, name → key: never its author."""
        row = self.store.run(run.request.study)
        author = "" if row is None else str(row["researcher"])
        return bench(self.reviews.enrolled(), author, self.reviews.names_of(author))

    def again(self, place: Place, output: Output, finding: Finding) -> Finding:
        """What is known now of an output that was held a while ago: others may have been released since.

        Ask, and let it leave, while the ledger is locked.
        """
        finding = joined([finding, *self.histories.finding(place.run.request.study)])
        bounds = self.policy_of(place).differencing()
        charged = self.store.charged(place.run.request.study, place.analysis)
        finding = joined([finding, *self.shown.beside(place, output, finding, self.policy_of(place))])
        if bounds is None or finding.verdict is Verdict.REFUSE:
            return finding
        if charged:
            return joined([finding, kept(output, finding, charged)])
        summed = summed_before(self.store, place.run.dataset, output.support, bounds.threshold)
        return joined([*summed, self.ledgers.judge(place.run, place.analysis, output, finding, bounds).finding])

    def neighbours(self, place: Place, output: Output) -> list[dict[str, Any]]:
        """The nearest sets of persons in the ledger, for a checker inside the site; none where it does not compare."""
        bounds = self.policy_of(place).differencing()
        return [] if bounds is None else self.ledgers.neighbours(place.run, output, bounds)

    def _hold(self, place: Place, held: Held, output: Output, now: float) -> None:
        """Store what waits for a checker, with all that is needed to show it and to let it leave."""
        finding = held.finding
        family = finding.raised or finding.family
        row = {
            **{"id": review_id(place), "study": place.run.request.study, "analysis": place.analysis},
            **{"ask": place.ask, "round": place.round, "sites": json.dumps(list(place.sites))},
            **{"state": REVIEW.initial, "tier": finding.tier.value, "family": family},
            **{"document": held.document, "digest": held.digest, "version": 0},
            "finding": json.dumps(finding_to_dict(finding)),
            "support": json.dumps(support_to_dict(output.support)),
            "features": json.dumps(self.learning.features(place, output, finding)),
            **{"opened": now, "decided": None, "how": ""},
        }
        facts = {"analysis": place.analysis, "round": place.round, "ask": place.ask, "review": row["id"]}
        facts |= {"sha256": held.digest, "family": family, "tier": finding.tier.value}
        self.reviews.hold(row, self._entry("review.opened", place, facts))

    def _standing(self, place: Place, finding: Finding) -> Decided | None:
        """The approval of an earlier round, given for the run, that covers this one."""
        seated = self.seated(place.run)
        for row in self.reviews.approved(place.run.request.study, place.analysis):
            found = decided(row, self.reviews.envelopes(row["id"]), seated)
            if found.approves(for_run=True) and no_riskier(finding, found.finding):
                return found
        return None

    def refuse(self, place: Place, reason: str, note: str, now: float) -> None:
        """Store that nothing leaves for this ask, and why; the note stays here."""
        facts = {"analysis": place.analysis, "round": place.round, "ask": place.ask, "reason": reason}
        row = self.decision(place, now) | {"reason": reason, "note": note}
        self.store.seal(row, self._entry("release.refused", place, facts))

    def header(self, place: Place) -> Header:
        """What this site says of an answer to this ask; the gate writes the policy's own words."""
        return header_of(place, self.policy, self.site)

    def decision(self, place: Place, now: float) -> dict[str, object]:
        """The stored row of a decision on this ask, by which nothing leaves yet."""
        row = decision(place.run.request.study, place.analysis, place.ask, place.round, now)
        return row | {"sites": json.dumps(list(place.sites))}

    def _entry(self, kind: str, place: Place, facts: dict[str, object]) -> Entry:
        return Entry(kind, f"node:{self.site}", study=place.run.request.study, dataset=place.run.dataset, facts=facts)

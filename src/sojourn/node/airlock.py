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

from sojourn import __version__
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Step, most_numbers
from sojourn.analysis.support import Support
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
)
from sojourn.disclosure.ledger import Charge, charges, hidden_cells
from sojourn.disclosure.linked import Released
from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.disclosure.policy import for_dataset, linked_with
from sojourn.disclosure.rehearsal import HELD, Rehearsed
from sojourn.disclosure.review import REVIEW, bench, enough, finding_to_dict, no_riskier
from sojourn.disclosure.risk import LEAST, Model, features, train
from sojourn.disclosure.rules import by_itself, joined
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Answer, Delivery
from sojourn.node.admission import Run
from sojourn.node.decisions import Place, decided, decision, review_id
from sojourn.node.evidence import support_to_dict
from sojourn.node.histories import UNUSUAL, Histories
from sojourn.node.ledgers import Ledgers
from sojourn.node.privacy import FormalPrivacy, Measure
from sojourn.node.review_store import ReviewStore
from sojourn.node.store import NodeStore
from sojourn.wire.seal import release_info, seal


@dataclass(frozen=True)
class Airlock:
    """The site's gate with its policy, its signing key and its store."""

    store: NodeStore
    policy: Policy
    site: str
    key: PrivateKey
    ledgers: Ledgers
    privacy: FormalPrivacy | None = None
    usual_asks: int = 0  # see `Histories`
    _learnt: dict[int, Model | None] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        attended = Formal(self.policy_of(place), Tier.MEDIUM).leaves
        noisy = place.run.plan.table in self.privacy.budgets and not place.run.request.rehearsal
        if noisy and self.histories.finding(place.run.request.study):
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
        earlier: Sequence[Released] = (),
    ) -> None:
        """Store the sealed answer for this ask, or hold it for a checker; DisclosureRefused where the gate refuses,
        the reason noted inside.

        The first release of an analysis is compared with the ledger and charges it, once for all its rounds, in the
        release's own transaction. Later rounds show what was charged and no more. earlier: what other analyses of the
        run showed first.
        """
        statistic = place.run.plan.analyses[place.analysis]
        if place.round > 1:
            support = replace(support, capacity=replace(support.capacity, spent=self._spent(place)))
        output = Output(statistic.name, step, partial, support, place.run.variables, statistic.rules)
        policy = self.policy_of(place)
        if place.run.request.rehearsal:
            self._rehearse(place, output, now)
            return
        if noised is not None:
            self._noisy(place, output, noised, now)
            return
        looked, bounds = look(output, policy), policy.differencing()
        finding = looked.finding
        tables = linked_with(policy, output, finding, earlier)
        linked = () if tables is None else (tables,)
        finding = joined([finding, *linked])
        charged = self.store.charged(place.run.request.study, place.analysis)
        if finding.verdict is Verdict.REFUSE or bounds is None or charged:
            more = (kept(output, finding, charged),) if bounds is not None and charged else ()
            self._decide(place, looked, (*linked, *more), now)
            return

        def decide(judged: Judgement, newest: int) -> int:
            return self._decide(place, looked, (judged.finding,), now, judged.charges, newest)

        self.ledgers.release(place.run, place.analysis, output, finding, bounds, decide)

    def _spent(self, place: Place) -> int:
        """How many distinct numbers the analysis carried out of this site in its earlier rounds."""
        answers = self.store.answers(place.run.request.study, place.analysis)
        return sum(distinct(Partial.from_dict(answer["release"]["partial"])) for answer in answers)

    def _rehearse(self, place: Place, output: Output, now: float) -> None:
        """On a stand-in: the same rules and a ledger of its own, and nobody is asked to look at it."""
        real, policy = self.policy_of(place), Rehearsed(self.policy_of(place))
        looked, bounds = look(output, policy), real.differencing()
        finding: Finding = looked.finding
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
        cleared = release(looked, policy, self._header(place), finding)
        self.leave(place, cleared, output, finding, now, sets=sets)

    def _noisy(self, place: Place, output: Output, noised: Noised, now: float) -> None:
        """No rule looks at what a noisy answer rests on; no exact set is told (`disclosure/formal_privacy.py`)."""
        output, policy = noised.apply(output), Formal(self.policy_of(place), noised.tier)
        header = replace(self._header(place), noise=noised.noise.text())
        looked = look(output, policy)
        finding = looked.finding
        try:
            cleared = release(looked, policy, header)
        except DisclosureRefused as error:
            self.refuse(place, error.family, finding.note, now)
            raise
        self.leave(place, cleared, output, finding, now, sets=())

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
        output, policy, header = looked.output, looked.policy, self._header(place)
        finding = judge(looked, policy, *more)
        if (model := self.model()) is not None:
            more = (*more, model.judge(joined([finding, *more]), self._features(place, output, finding)))
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
        return self.leave(place, cleared, output, finding, now, sets=sets, newest=newest)

    def leave(
        self,
        place: Place,
        cleared: Release,
        output: Output,
        finding: Finding,
        now: float,
        also: Callable[[Connection], None] | None = None,
        entries: Sequence[Entry] = (),
        sets: Sequence[Charge] | None = None,
        newest: int | None = None,
    ) -> int:
        """Sign, seal and store what leaves, with its charge, in one transaction; the ledger's newest entry then.

        SiteRefused where nothing may. The first release of an analysis charges the ledger, once for all its rounds.
        also, entries: what is decided with it, and the log's words on that. sets: the charge, where it was judged
        already; newest: the newest entry that this judgement knew of, LedgerGrew where there is a newer one.
        """
        document = Answer(cleared, self.key).to_dict()
        request = place.run.request
        info = release_info(study=request.study, analysis=place.analysis, round=place.ask, site=self.site)
        sealed = seal(request.seal_key, json.dumps(document, sort_keys=True).encode(), info)
        row = self.decision(place, now) | {
            "sealed": sealed,
            "answer": json.dumps(document),
            "tier": str(cleared.tier),
            "note": finding.note,
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
            sets = self._charges(place, output, finding)
        if sets:
            statistic = place.run.plan.analyses[place.analysis]
            most = most_numbers(statistic, place.run.variables)
            told = {"analysis": place.analysis, "sets": len(sets), "most_numbers": most}
            written.insert(len(entries), self._entry("ledger.charged", place, told))
        return self.store.seal(row, written, sets, place.run.dataset, newest, also)

    def _charges(self, place: Place, output: Output, finding: Finding) -> tuple[Charge, ...]:
        hidden = [hidden_cells(output.partial, cells, finding.cells) for cells in output.support.cells]
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
        if bounds is None:
            return finding
        if charged:
            return kept(output, finding, charged)
        return self.ledgers.judge(place.run, place.analysis, output, finding, bounds).finding

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
            "features": json.dumps(self._features(place, output, finding)),
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

    def model(self) -> Model | None:
        """What this site's checkers have taught so far; trained again with each decision."""
        number = self.reviews.decided()
        if number < 2 * LEAST:
            return None
        if number not in self._learnt:
            self._learnt.clear()
            self._learnt[number] = train(self.reviews.decisions())
        return self._learnt[number]

    def _features(self, place: Place, output: Output, finding: Finding) -> dict[str, float]:
        row = self.store.run(place.run.request.study)
        past = self.reviews.past("" if row is None else str(row["researcher"]))
        return features(output, finding, past)

    def refuse(self, place: Place, reason: str, note: str, now: float) -> None:
        """Store that nothing leaves for this ask, and why; the note stays here."""
        facts = {"analysis": place.analysis, "round": place.round, "ask": place.ask, "reason": reason}
        row = self.decision(place, now) | {"reason": reason, "note": note}
        self.store.seal(row, self._entry("release.refused", place, facts))

    def outgoing(self, study: str, analysis: str, ask: str) -> Delivery | None:
        """What may be handed over for an ask at this moment: its sealed answer, or why nothing leaves. None: nothing.

        Where the approval was withdrawn or the run has ended since an answer was sealed, it is withdrawn for good, also
        where it may have been sent already: then the hub's receipt says which of the two it settled.
        """
        row = self.store.release(study, analysis, ask)
        if row is None or row["acknowledged"]:
            return None
        reason = row["reason"]
        if not reason and (reason := self.store.objection(study)):
            facts = {"analysis": analysis, "round": row["round"], "ask": ask, "reason": reason}
            entry = Entry("release.withdrawn", f"node:{self.site}", study=study, facts=facts)
            self.store.withdraw((study, analysis, ask), reason, entry)
        if reason:
            return Delivery(study=study, analysis=analysis, ask=ask, reason=reason)
        return Delivery(study=study, analysis=analysis, ask=ask, sealed=bytes(row["sealed"]).hex())

    def _header(self, place: Place) -> Header:
        return Header(
            study=place.run.request.study,
            plan=place.run.request.plan_hash,
            analysis=place.analysis,
            round=place.round,
            ask=place.ask,
            site=self.site,
            snapshot=place.run.snapshot,
            policy=self.policy.name,
            policy_version=self.policy.version,
            hidden_max=self.policy.hidden_max(),
            software=__version__,
            watermark=self.policy.watermark,
        )

    def decision(self, place: Place, now: float) -> dict[str, object]:
        """The stored row of a decision on this ask, by which nothing leaves yet."""
        row = decision(place.run.request.study, place.analysis, place.ask, place.round, now)
        return row | {"sites": json.dumps(list(place.sites))}

    def _entry(self, kind: str, place: Place, facts: dict[str, object]) -> Entry:
        actor = f"node:{self.site}"
        return Entry(kind, actor, study=place.run.request.study, dataset=place.run.dataset, facts=facts)

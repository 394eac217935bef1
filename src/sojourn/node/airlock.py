"""The one way out of a node: judge, release, sign, seal, store, hand over. What it stores is sent, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sojourn import __version__
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.gate import Header, Policy, judge, release
from sojourn.disclosure.ledger import Charge, charges
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.rehearsal import Rehearsed, reason
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Answer, Delivery
from sojourn.node.admission import Run
from sojourn.node.store import NodeStore
from sojourn.wire.seal import release_info, seal


@dataclass(frozen=True)
class Place:
    """Which question an output answers."""

    run: Run
    analysis: str
    ask: str
    sites: tuple[str, ...]  # whose releases the ask rests on; none in the first round
    round: int


@dataclass(frozen=True)
class Airlock:
    """The site's gate with its policy, its signing key and its store."""

    store: NodeStore
    policy: Policy
    site: str
    key: PrivateKey

    def pass_out(self, place: Place, step: Step, partial: Partial, support: Support, now: float) -> None:
        """Store the sealed answer for this ask; DisclosureRefused where the gate refuses, the reason noted inside.

        The first release of an analysis charges the ledger, once for all its rounds, in the release's own transaction.
        """
        statistic = place.run.plan.analyses[place.analysis]
        output = Output(statistic.name, step, partial, support, place.run.variables, statistic.rules)
        rehearsal = place.run.request.rehearsal
        policy = Rehearsed(self.policy) if rehearsal else self.policy
        finding = judge(output, policy)
        if finding.verdict is Verdict.REFUSE:
            family = reason(finding) if rehearsal else finding.family
            self.refuse(place, family, finding.note, now)
            raise DisclosureRefused(family)
        cleared = release(output, policy, self._header(place))
        document = Answer(cleared, self.key).to_dict()
        request = place.run.request
        info = release_info(study=request.study, analysis=place.analysis, round=place.ask, site=self.site)
        sealed = seal(request.seal_key, json.dumps(document, sort_keys=True).encode(), info)
        row = self._decision(place, now) | {
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
            "fields": list(statistic.variables()),
        }
        entries = [self._entry("release.sealed", place, facts)]
        sets: tuple[Charge, ...] = ()
        if not self.store.charged(request.study, place.analysis):
            sets = charges(place.run.snapshot, place.analysis, support)
            entries.insert(0, self._entry("ledger.charged", place, {"analysis": place.analysis, "sets": len(sets)}))
        self.store.seal(row, entries, sets)

    def refuse(self, place: Place, reason: str, note: str, now: float) -> None:
        """Store that nothing leaves for this ask, and why; the note stays here."""
        facts = {"analysis": place.analysis, "round": place.round, "ask": place.ask, "reason": reason}
        row = self._decision(place, now) | {"reason": reason, "note": note}
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

    def _decision(self, place: Place, now: float) -> dict[str, object]:
        row = decision(place.run.request.study, place.analysis, place.ask, place.round, now)
        return row | {"sites": json.dumps(list(place.sites))}

    def _entry(self, kind: str, place: Place, facts: dict[str, object]) -> Entry:
        actor = f"node:{self.site}"
        return Entry(kind, actor, study=place.run.request.study, dataset=place.run.dataset, facts=facts)


def decision(study: str, analysis: str, ask: str, round_number: int, now: float) -> dict[str, object]:
    """The stored row of a decision by which nothing leaves; a release fills in what does."""
    return {
        "study": study,
        "analysis": analysis,
        "ask": ask,
        "round": round_number,
        "sites": "[]",
        "reason": "",
        "sealed": None,
        "answer": None,
        "tier": "",
        "note": "",
        "made": now,
        "acknowledged": False,
        "receipt": None,
    }

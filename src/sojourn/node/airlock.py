"""The one way out of a node: judge, release, sign, seal, store, hand over. What it stores is sent, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Never

from sojourn import __version__
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.differencing import FAMILY, kept
from sojourn.disclosure.gate import Header, Policy, judge, release
from sojourn.disclosure.ledger import Charge, charges, hidden_cells
from sojourn.disclosure.output import Finding, Output, Tier, Verdict
from sojourn.disclosure.rehearsal import Rehearsed, reason
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Answer, Delivery
from sojourn.node.admission import Run
from sojourn.node.ledgers import Ledgers
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
    ledgers: Ledgers

    def pass_out(self, place: Place, step: Step, partial: Partial, support: Support, now: float) -> None:
        """Store the sealed answer for this ask; DisclosureRefused where the gate refuses, the reason noted inside.

        The first release of an analysis is compared with the ledger and charges it, once for all its rounds, in the
        release's own transaction. Later rounds show what was charged and no more.
        """
        statistic = place.run.plan.analyses[place.analysis]
        output = Output(statistic.name, step, partial, support, place.run.variables, statistic.rules)
        if place.run.request.rehearsal:
            self._rehearse(place, output, now)
            return
        finding, bounds = judge(output, self.policy), self.policy.differencing()
        charged = self.store.charged(place.run.request.study, place.analysis)
        if finding.verdict is Verdict.REFUSE:
            self._refused(place, finding, now)
        elif charged:
            finding = finding if bounds is None else kept(output, finding, charged)
            self._decide(place, output, finding, now, None, 0)
        elif bounds is None:
            hidden = [hidden_cells(partial, cells, finding.cells) for cells in support.cells]
            self._decide(
                place, output, finding, now, charges(place.run.snapshot, place.analysis, support, hidden), None
            )
        else:
            self.ledgers.release(
                place.run,
                place.analysis,
                output,
                finding,
                bounds,
                lambda judged, newest: self._decide(place, output, judged.finding, now, judged.charges, newest),
            )

    def _rehearse(self, place: Place, output: Output, now: float) -> None:
        """On a stand-in: the same rules, no ledger."""
        finding = judge(output, Rehearsed(self.policy))
        if finding.verdict is Verdict.REFUSE:
            self._refused(place, replace(finding, family=reason(finding)), now)
        self._decide(place, output, finding, now, (), None, Rehearsed(self.policy))

    def _refused(self, place: Place, finding: Finding, now: float) -> Never:
        self.refuse(place, finding.family, finding.note, now)
        raise DisclosureRefused(finding.family)

    def _decide(
        self,
        place: Place,
        output: Output,
        finding: Finding,
        now: float,
        sets: tuple[Charge, ...] | None,
        newest: int | None,
        policy: Policy | None = None,
    ) -> int:
        """Release or refuse. sets: what it adds to the ledger, None for a later round; the ledger's newest entry then.

        newest: the newest entry that the finding knows of; None: it does not matter.
        """
        if finding.verdict is Verdict.REFUSE or (finding.family == FAMILY and finding.tier is Tier.HIGH):
            self._refused(place, finding, now)  # without checkers what is high risk does not leave
        statistic = place.run.plan.analyses[place.analysis]
        cleared = release(output, policy or self.policy, self._header(place), [finding])
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
        if sets is not None:
            entries.insert(0, self._entry("ledger.charged", place, {"analysis": place.analysis, "sets": len(sets)}))
        return self.store.seal(row, entries, sets or (), place.run.dataset, newest if sets is not None else None)

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

"""After a restore from a backup: what this node said since then, recalled from the hub and proven before it is used.

Laws: a recalled study carries its researcher's signature, each answer this node's own, each word the hub's receipt;
what does not verify stops the recovery. Afterwards no nonce of a recalled study admits again, and everything that left
is in the ledger: computed again where its snapshot is still there, else as something of which nobody knows the sets,
after which nothing new of that dataset leaves by itself. A dataset of which masked sums were recalled takes part in no
further ones: what they showed is known to those alone who were there.
What the hub keeps back cannot be recalled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from sojourn.analysis.partial import Partial
from sojourn.audit.entry import Entry
from sojourn.audit.receipt import Receipt
from sojourn.disclosure.budget import Loss
from sojourn.disclosure.families.capacity import distinct
from sojourn.disclosure.gate import ReceivedRelease
from sojourn.disclosure.ledger import Charge, charges, hidden_in
from sojourn.errors import AuditError, SiteRefused, SojournError
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import PastStudy, PastTask, ReceivedAnswer
from sojourn.node.admission import Run, opened, rehearsed
from sojourn.node.computing import Computation
from sojourn.node.decisions import decision
from sojourn.node.extract import everyone
from sojourn.node.hub_link import HubLink
from sojourn.node.store import NodeStore

RESTORED = "restored"  # how a recalled run ended
KINDS = ("round.answered", "round.refused", "round.late")


@dataclass(frozen=True)
class Recovery:
    """One node's recovery. key: its own. opener: opens a run's computation, as for a study."""

    store: NodeStore
    link: HubLink
    key: PublicKey
    folder: Path
    opener: Callable[[Run], Computation]
    clock: Callable[[], float]
    losses: Callable[[str, str, str, list[str]], list[Loss]] = lambda study, dataset, project, analyses: []

    def run(self) -> dict[str, int]:
        """Recall everything; how many studies, answers and refusals the store did not know, and sets charged.

        AuditError where something recalled does not verify. What was recorded before that stays; it is not done twice.
        """
        counts = {"studies": 0, "answers": 0, "refusals": 0, "sets": 0}
        after = ""
        while past := self.link.recall(after):
            for study in past:
                if study.study <= after:
                    raise _refusal("is not in order")
                after = study.study
                for word, number in self._study(study).items():
                    counts[word] += number
        return counts

    def _study(self, past: PastStudy) -> dict[str, int]:
        unknown = [task for task in past.tasks if self.store.release(past.study, task.analysis, task.ask) is None]
        if not unknown:
            return {}
        request, researcher = self._request(past)
        if request.roster[self.link.site] != self.key.hex:
            return {}  # asked of another node, which had this name before
        answers = {(task.analysis, task.ask): self._proven(request, task) for task in unknown}
        table = str(request.plan.get("table", ""))
        snapshot = self._snapshot(past.study, table, answers.values())
        # A rehearsal told of nobody: it charges nothing.
        left = {task.analysis for task in unknown if task.reason is None and not request.rehearsal}
        sets: list[Charge] = []
        for analysis in sorted(name for name in left if not self.store.charged(past.study, name)):
            sets += self._charges(past, table, snapshot, analysis)
        run = {
            "study": past.study,
            "nonce": request.nonce,
            "project": request.project,
            "researcher": researcher,
            "request": json.dumps(past.request),
            "dataset": rehearsed(request) if request.rehearsal else table,
            "snapshot": snapshot,
            "admitted": float(request.issued),
            "ended": RESTORED,
        }
        refusals = sum(1 for task in unknown if task.reason is not None)
        counts = {"studies": 1, "answers": len(unknown) - refusals, "refusals": refusals, "sets": len(sets)}
        facts = {"answers": counts["answers"], "refusals": refusals, "sets": len(sets), "snapshot": snapshot}
        entry = Entry("run.restored", f"node:{self.link.site}", study=past.study, dataset=table, facts=facts)
        private = self.losses(past.study, table, request.project, sorted(left))
        summed = left if request.plan.get("aggregation") == "masked" else set()
        decided = [self._decision(past.study, task) for task in unknown]
        self.store.restore(run, decided, sets, entry, private, [_summed(run, name) for name in sorted(summed)])
        return counts

    def _request(self, past: PastStudy) -> tuple[Request, str]:
        """The signed request, and its researcher's key; AuditError unless it asks a node of this name."""
        try:
            envelope = Envelope.from_dict(past.request)
            request = Request.read(envelope) if envelope.holds() else None
        except SojournError:
            request = None
        if request is None or request.study != past.study or self.link.site not in request.roster:
            raise _refusal("holds a request that its researcher did not sign, or not for this site")
        return request, envelope.key

    def _proven(self, request: Request, task: PastTask) -> str | None:
        """The snapshot of an answer under this node's signature; None where the task has no answer."""
        entry = Receipt.from_dict(task.receipt).verify(self.link.federation, self.link.log_key)
        said = {"analysis": task.analysis, "site": self.link.site, "ask": task.ask}
        facts = entry.get("facts", {})
        if entry.get("study") != request.study or entry.get("kind") not in KINDS or not said.items() <= facts.items():
            raise _refusal("holds a receipt of something else")
        if task.answer is None:
            return None
        try:
            release = ReceivedAnswer.read(task.answer, self.key).release
        except (SojournError, ValueError) as error:
            raise _refusal("holds an answer that this node did not sign") from error
        header = release.header
        if (header.study, header.analysis, header.ask) != (request.study, task.analysis, task.ask):
            raise _refusal("holds an answer to something else")
        if facts.get("release") != release.digest():
            raise _refusal("holds another answer than its receipt")
        return header.snapshot if isinstance(release, ReceivedRelease) else None  # a commitment tells no snapshot

    def _snapshot(self, study: str, table: str, answered: Iterable[str | None]) -> str:
        """The one snapshot of a run: of its answers, else as the store knows the run, else the present one."""
        for snapshot in answered:
            if snapshot is not None:
                return snapshot
        row = self.store.run(study) or self.store.dataset(table)
        return "" if row is None else str(row["snapshot"])

    def _charges(self, past: PastStudy, table: str, snapshot: str, analysis: str) -> tuple[Charge, ...]:
        """What an analysis made known: computed again, but for the cells that its answer hid; else all persons of its
        snapshot; else all that there can be."""
        try:
            run = opened(json.dumps(past.request, sort_keys=True), table, snapshot)
            computation = self.opener(run)
            try:
                support, first = computation.support(analysis), self._first(past, analysis)
                return charges(snapshot, analysis, support, hidden_in(first, support, {}))
            finally:
                computation.cancel()
        except SojournError:
            pass
        measure = tuple(sorted(past_names(past)))
        try:
            persons = everyone(self.folder, table, snapshot)
            return (Charge(snapshot, analysis, measure, "restored: the whole snapshot", persons),)
        except SojournError:
            persons = BitMap()
            persons.add_range(0, 2**32)
            persons.run_optimize()
            return (Charge(snapshot, analysis, measure, "restored: everyone, as the snapshot is gone", persons),)

    def _first(self, past: PastStudy, analysis: str) -> Partial:
        """What an analysis's earliest recalled answer showed."""
        answered = [task for task in past.tasks if task.analysis == analysis and task.answer is not None]
        earliest = min(answered, key=lambda task: task.round)
        assert earliest.answer is not None
        release = ReceivedAnswer.read(earliest.answer, self.key).release
        if not isinstance(release, ReceivedRelease):
            raise SiteRefused("masked aggregation")  # of a sum nobody here can say what it hid: all counts as told
        return release.partial

    def _decision(self, study: str, task: PastTask) -> dict[str, Any]:
        row = decision(study, task.analysis, task.ask, task.round, self.clock())
        release = None if task.answer is None else ReceivedAnswer.read(task.answer, self.key).release
        return row | {
            "numbers": distinct(release.partial) if isinstance(release, ReceivedRelease) else 0,
            "reason": task.reason or "",
            "answer": None if task.answer is None else json.dumps(task.answer),
            "note": RESTORED,
            "acknowledged": True,
            "receipt": json.dumps(task.receipt),
        }


def _summed(run: dict[str, Any], analysis: str) -> dict[str, Any]:
    """A masked sum of which this node no longer knows what it showed: of no roster, so that no further one is right."""
    place = {word: run[word] for word in ("dataset", "study", "snapshot")}
    return place | {"analysis": analysis, "roster": RESTORED, "measure": "[]", "label": RESTORED, "digest": ""}


def past_names(past: PastStudy) -> set[str]:
    """The columns that a recalled study's plan names."""
    request = Request.read(Envelope.from_dict(past.request))
    variables = request.plan.get("variables", {})
    return set(variables) if isinstance(variables, dict) else set()


def _refusal(what: str) -> AuditError:
    return AuditError(
        f"What the hub recalls {what}.", remedy="Keep the node stopped, and ask the hub's administrator and custodians."
    )

"""May this run here? Signature, pins, plan and dataset are checked before any record is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sojourn.analysis.variable import Variables, with_site
from sojourn.audit.entry import Entry
from sojourn.errors import EnvelopeRefused, PlanError, SiteRefused, SojournError
from sojourn.governance.permit import permit, withheld
from sojourn.identity.envelope import Envelope, Request, admit
from sojourn.identity.keys import PublicKey
from sojourn.messages import Task
from sojourn.node.masking import Masking
from sojourn.node.store import NodeStore
from sojourn.study.catalogue import check
from sojourn.study.circle import Circle
from sojourn.study.plan import Plan

REHEARSED = "~"  # begins what a rehearsal stands under; a dataset's name begins with a letter


@dataclass(frozen=True)
class Run:
    """An admitted study at this node, with the one snapshot that it uses to its end.

    dataset: what its ledger is of. A rehearsal's is its own (`~` and the study), which no dataset can be called; its
    snapshot is a stand-in's. circle: of a masked plan, the sites with their keys. withheld: why a masked plan gets
    nothing of this site, though it takes part.
    """

    request: Request
    plan: Plan
    variables: Variables
    dataset: str
    snapshot: str
    circle: Circle | None = None
    withheld: str = ""


def no_stand_in(table: str) -> str:
    """A site that does not rehearse."""
    raise SiteRefused("no stand-in")


@dataclass(frozen=True)
class Admission:
    """The site's own facts that decide over requests. stand_in: the snapshot of a table's stand-in, for rehearsals."""

    store: NodeStore
    site: str
    key: PublicKey
    policy_version: str
    least_sites: int
    stand_in: Callable[[str], str] = no_stand_in
    masking: Masking | None = None
    federation: Callable[[], str] = lambda: ""

    def run(self, task: Task, now: float) -> Run:
        """The admitted run that a task belongs to; SiteRefused or EnvelopeRefused with the reason otherwise.

        The first task of a study admits it; later ones must carry the same signed request, byte for byte.
        """
        document = json.dumps(task.request, sort_keys=True)
        digest = request_digest(task.request)
        known = self.store.run(task.study)
        if known is not None:
            if json.dumps(json.loads(known["request"]), sort_keys=True) != document:
                raise EnvelopeRefused("replayed")
            if known["ended"]:
                raise SiteRefused("cancelled")
            if known["exchange"] and json.loads(known["exchange"]) != _keys(task):
                raise SiteRefused("roster")  # a run has one circle: the masks of another would not be of this sum
            return opened(document, known["dataset"], known["snapshot"], known["exchange"], known["withheld"])
        before = self.store.refusal(task.study)
        if before is not None and before["request"] == digest:
            raise SiteRefused(before["reason"])
        return self._admit(task, digest, now)

    def _admit(self, task: Task, digest: str, now: float) -> Run:
        try:
            envelope = Envelope.from_dict(task.request)
            request = admit(
                envelope,
                approved=self.store.approved(),
                site=self.site,
                own_key=self.key,
                now=now,
                seen=self.store.nonce_seen,
                policy_version=self.policy_version,
                least_sites=self.least_sites,
                plan_hash=lambda document: Plan.from_dict(document).hash,
            )
            if request.study != task.study:
                raise EnvelopeRefused("malformed")
            run = self._permit(request, envelope.key, task)
        except (EnvelopeRefused, SiteRefused) as error:
            facts = {"reason": error.reason, "request": digest}
            entry = Entry("run.refused", f"node:{self.site}", study=task.study, facts=facts)
            researcher, target = self.signer(task)
            row = {"study": task.study, "request": digest, "reason": error.reason}
            self.store.refuse(row | {"researcher": researcher, "target": target, "made": now}, entry)
            raise
        self._record(run, envelope, task.request, now)
        return run

    def _permit(self, request: Request, researcher: str, task: Task) -> Run:
        plan = _plan(request)
        covered = self.store.covered(request.project, researcher)
        permit(plan, covered, self.masking.setting(plan.table) if self.masking else "refused")
        if plan.aggregation == "masked" and self.masking is not None:
            circle = self.masking.circle(request, task.exchange, self.federation())
            return replace(self._part(request, plan, covered), circle=circle)
        return self._found(request, plan)

    def _part(self, request: Request, plan: Plan, covered: set[str]) -> Run:
        """A masked run at this site; with nothing of it where it has no data for this, or may not show them so."""
        dataset = rehearsed(request) if request.rehearsal else plan.table
        nothing = Run(request, plan, _variables(request, plan), dataset, "")
        if reason := withheld(plan, covered):
            return replace(nothing, withheld=reason)
        if self.masking is not None and plan.table in self.masking.home.privacy:
            return replace(nothing, withheld="formal privacy")
        try:
            return self._found(request, plan)
        except SiteRefused as error:
            return replace(nothing, withheld=error.reason)

    def _found(self, request: Request, plan: Plan) -> Run:
        dataset = self.store.dataset(plan.table)
        if dataset is None:
            raise SiteRefused("no table")
        if request.rehearsal:
            return Run(request, plan, _variables(request, plan), rehearsed(request), self.stand_in(plan.table))
        return Run(request, plan, _variables(request, plan), dataset["name"], dataset["snapshot"])

    def signer(self, task: Task) -> tuple[str, str]:
        """Who asked: a key (hex) that the custodian approved for anything, and what for: a hash of project and table.

        Both are empty where no such key signed this request for this site: what a hub redirects or makes is nobody's.
        """
        try:
            envelope = Envelope.from_dict(task.request)
            request = Request.read(envelope) if envelope.holds() else None
        except EnvelopeRefused:
            request = None
        if request is None or request.roster.get(self.site) != self.key.hex:
            return "", ""
        known = envelope.key in set().union(*self.store.approved().values())
        target = json.dumps([request.project, str(request.plan.get("table", ""))])
        return (envelope.key, hashlib.sha256(target.encode()).hexdigest()) if known else ("", "")

    def expired(self, now: float) -> list[str]:
        """Admitted studies that have not ended though their requests have expired."""
        return [study for study, document in self.store.live_requests().items() if _request(document).expires < now]

    def _record(self, run: Run, envelope: Envelope, document: dict[str, Any], now: float) -> None:
        researcher = PublicKey.from_hex(envelope.key)
        row = {
            "study": run.request.study,
            "nonce": run.request.nonce,
            "project": run.request.project,
            "researcher": envelope.key,
            "request": json.dumps(document),
            "dataset": run.dataset,
            "snapshot": run.snapshot,
            "admitted": now,
            "ended": "",
            "exchange": json.dumps(_exchange(run.circle)) if run.circle else "",
            "withheld": run.withheld,
        }
        facts: dict[str, Any] = {
            "project": run.request.project,
            "researcher": researcher.id,
            "plan": run.request.plan_hash,
            "purpose": run.plan.purpose or "",
            "snapshot": run.snapshot,
            "fields": list(run.plan.names),
            "analyses": {name: statistic.name for name, statistic in run.plan.analyses.items()},
        }
        facts |= {"rehearsal": True} if run.request.rehearsal else {}
        facts |= {"roster": run.circle.hash, "withheld": run.withheld} if run.circle else {}
        entry = Entry("run.admitted", f"node:{self.site}", study=run.request.study, dataset=run.dataset, facts=facts)
        self.store.admit(row, entry)


@lru_cache(maxsize=64)
def opened(document: str, dataset: str, snapshot: str, exchange: str = "", withheld: str = "") -> Run:
    """An admitted run, read again for each of its rounds; SiteRefused("plan") for a plan that is not valid."""
    request = _request(document)
    plan = _plan(request)
    keys = json.loads(exchange) if exchange else {}
    circle = Circle({site: (request.roster[site], key) for site, key in keys.items()}) if keys else None
    return Run(request, plan, _variables(request, plan), dataset, snapshot, circle, withheld)


def _exchange(circle: Circle) -> dict[str, str]:
    return {site: circle.exchange(site) for site in circle.sites}


def _keys(task: Task) -> dict[str, str]:
    return {site: word.key for site, word in (task.exchange or {}).items()}


@lru_cache(maxsize=64)
def _request(document: str) -> Request:
    return Request.read(Envelope.from_dict(json.loads(document)))


def _plan(request: Request) -> Plan:
    try:
        return check(Plan.from_dict(dict(request.plan)), tuple(request.roster))
    except PlanError as error:
        raise SiteRefused("plan") from error


def _variables(request: Request, plan: Plan) -> Variables:
    return with_site(plan.variables, tuple(request.roster))


def rehearsed(request: Request) -> str:
    """What a rehearsal stands under in the store and its ledger: never the name of a dataset."""
    return f"{REHEARSED}{request.study}"


def request_digest(document: dict[str, Any]) -> str:
    """Names a signed request: sha256 of its canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def reason_of(error: SojournError) -> str:
    """The word of the fixed list that may be said of an error; anything without one is `internal`."""
    return str(getattr(error, "reason", "") or getattr(error, "family", "") or "internal")

"""The hub's care for running studies: asking, receiving, deadlines, ends. All state is the store's."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Variables, with_site
from sojourn.audit.entry import Entry
from sojourn.disclosure.gate import ReceivedRelease
from sojourn.errors import REASONS, SojournError, StudyFailed
from sojourn.hub.bell import Bell
from sojourn.hub.combine import open_delivery
from sojourn.hub.drive import Concluded, Ended, Wanted, drive
from sojourn.hub.store import HubStore
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import (
    AskDocument,
    Delivery,
    Document,
    RoundDocument,
    Task,
)
from sojourn.report.record import estimate_to_dict
from sojourn.study.plan import Plan

ABORT_AFTER = 120.0  # seconds that a site may be out of reach before `stragglers: abort` ends the study
SILENT = ("not released", "no answer")


class Studies:
    """Every method is safe from any thread; one study advances in one thread at a time."""

    def __init__(self, store: HubStore, bell: Bell, clock: Callable[[], float]) -> None:
        self.store = store
        self.bell = bell
        self.clock = clock
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)

    def resume(self) -> None:
        """After a start: take up every study that has not ended."""
        for row in self.store.live_studies():
            self.advance(row["id"])

    # ---- going on

    def advance(self, study: str) -> None:
        """Ask what can be asked now, conclude what can be concluded."""
        with self._locks[study]:
            row = self.store.study(study)
            if row is None or row["state"] not in ("submitted", "running"):
                return
            request = request_of(row["request"])
            plan = Plan.from_dict(request.plan)
            variables = with_site(plan.variables, tuple(request.roster))
            tasks = self.store.tasks_of(study)
            done = set(self.store.results_of(study))
            for name, statistic in plan.analyses.items():
                if name not in done and self._advance(request, name, statistic, variables, tasks):
                    done.add(name)
            if done == set(plan.analyses):
                self._finish(study)

    def _advance(
        self, request: Request, name: str, statistic: Statistic, variables: Variables, tasks: list[RowMapping]
    ) -> bool:
        mine = [task for task in tasks if task["analysis"] == name]
        fallen = {task["site"] for task in mine if task["state"] in SILENT}
        answers: dict[str, dict[str, ReceivedRelease]] = defaultdict(dict)
        for task in mine:
            if task["answer"] is not None:
                answers[task["ask"]][task["site"]] = _release(task["answer"])
        sites = [site for site in request.roster if site not in fallen]
        if len(sites) < request.min_sites and any(task["state"] == "waiting" for task in mine):
            return False  # it will have no answer, but each site may still say what it did
        state = drive(
            request.study, name, statistic, variables, sites, request.min_sites, lambda digest: answers[digest]
        )
        if isinstance(state, Wanted):
            asked = {task["site"] for task in mine if task["ask"] == state.digest}
            self._dispatch(request.study, name, state, [site for site in state.sites if site not in asked])
            return False
        self._conclude(request.study, name, state)
        return True

    def _dispatch(self, study: str, analysis: str, wanted: Wanted, sites: list[str]) -> None:
        if not sites:
            return
        now = self.clock()
        number = len(wanted.rounds) + 1
        ask = {
            "study": study,
            "analysis": analysis,
            "digest": wanted.digest,
            "round": number,
            "document": wanted.ask.model_dump_json(),
            "after": json.dumps([past.digest for past in wanted.rounds]),
            "sites": json.dumps(list(wanted.sites)),
        }
        blank = {"state": "waiting", "reason": "", "answer": None, "bytes": 0, "dispatched": now, "answered": None}
        place = {"study": study, "analysis": analysis, "ask": wanted.digest, "round": number}
        rows = [{**place, "site": site, **blank} for site in sites]
        facts = {"analysis": analysis, "round": number, "step": wanted.ask.step, "ask": wanted.digest, "sites": sites}
        event = {"analysis": analysis, "round": number, "state": "asked", "sites": sites, "time": now}
        self.store.dispatch(ask, rows, event, Entry("round.asked", "hub", study=study, facts=facts))
        self.bell.ring(f"study:{study}", *(f"site:{site}" for site in sites))

    def _conclude(self, study: str, analysis: str, state: Concluded | Ended) -> None:
        if isinstance(state, Concluded):
            estimate = json.dumps(estimate_to_dict(state.estimate))
            values = {"estimate": estimate, "error": None}
            word = "concluded"
        else:
            values = {"estimate": None, "error": json.dumps(error_document(state.error))}
            word = "ended without an answer"
        rounds = [past.digest for past in state.rounds]
        last = {"sites": list(state.sites), "asks": rounds}
        values = {**values, "contributed": json.dumps(last)}
        facts = {"analysis": analysis, "outcome": word, "rounds": len(rounds), "sites": list(state.sites)}
        event = {"analysis": analysis, "state": word, "time": self.clock()}
        self.store.conclude(
            study, analysis, values, event, Entry("analysis.concluded", "hub", study=study, facts=facts)
        )
        self.bell.ring(f"study:{study}")

    def _finish(self, study: str) -> None:
        results = self.store.results_of(study)
        answered = sum(row["estimate"] is not None for row in results.values())
        state = "completed" if answered else "failed"
        message = "" if answered else "No analysis has an answer; each says why."
        self.end(study, state, message, Entry(f"study.{state}", "hub", study=study, facts={"answered": answered}))

    def end(self, study: str, state: str, message: str, entry: Entry) -> bool:
        """Move a study to its end and wake everyone concerned."""
        if not self.store.finish(study, state, message, self.clock(), entry):
            return False
        row = self.store.study(study)
        assert row is not None
        self.bell.ring(f"study:{study}", *(f"site:{site}" for site in request_of(row["request"]).roster))
        return True

    # ---- receiving

    def deliver(self, site: str, key: PublicKey, message: Delivery) -> Document:
        """Record a site's answer or reason, once; the receipt proves it. The same again gives the receipt again."""
        row = self.store.study(message.study)
        task = self._task(message, site)
        if row is None or task is None:
            raise StudyFailed("This site was not asked that.", remedy="Upgrade the node, or restart it.")
        values: dict[str, Any] = {"answered": self.clock()}
        if message.sealed is None:
            reason = message.reason if message.reason in REASONS else "internal"
            values |= {"state": "not released", "reason": reason}
            facts = {"analysis": message.analysis, "site": site, "ask": message.ask, "reason": reason}
            entry = Entry("round.refused", f"node:{site}", study=message.study, facts=facts)
        else:
            answer, digest = open_delivery(self.store, request_of(row["request"]), site, message)
            values |= {"state": "contributed", "answer": json.dumps(answer), "bytes": len(message.sealed) // 2}
            facts = {"analysis": message.analysis, "site": site, "ask": message.ask, "release": digest}
            entry = Entry("round.answered", f"node:{site}", study=message.study, facts=facts)
        event = {
            "analysis": message.analysis,
            "site": site,
            "round": task["round"],
            "state": values["state"],
            "reason": values.get("reason", ""),
            "time": self.clock(),
        }
        self.store.settle((message.study, message.analysis, message.ask, site), values, event, entry)
        self._after(message.study, row, site, str(values["state"]))
        return self.receipt(message.study, entry.kind, {"ask": message.ask, "site": site})

    def _after(self, study: str, row: RowMapping, site: str, state: str) -> None:
        plan = Plan.from_dict(request_of(row["request"]).plan)
        if state in SILENT and plan.stragglers == "abort":
            message = f"{site} did not contribute, and the plan says `stragglers: abort`."
            self.end(study, "failed", message, Entry("study.failed", "hub", study=study, facts={"site": site}))
        self.bell.ring(f"study:{study}")
        self.advance(study)

    def _task(self, message: Delivery, site: str) -> RowMapping | None:
        found = (
            task
            for task in self.store.tasks_of(message.study)
            if (task["analysis"], task["ask"], task["site"]) == (message.analysis, message.ask, site)
        )
        return next(found, None)

    # ---- deadlines

    def keep_deadlines(self, silence: Callable[[str], float]) -> None:
        """Apply each plan's straggler policy and each request's expiry. `silence`: seconds since a site's last poll."""
        for row in self.store.live_studies():
            request = request_of(row["request"])
            policy = Plan.from_dict(request.plan).stragglers
            now = self.clock()
            for task in self.store.tasks_of(row["id"]):
                if task["state"] != "waiting":
                    continue
                waited = now - task["dispatched"]
                late = now > row["expires"] or (isinstance(policy, int) and waited > policy)
                gone = policy == "abort" and min(waited, silence(task["site"])) > ABORT_AFTER
                if late or gone:
                    self._drop(row, task)

    def _drop(self, row: RowMapping, task: RowMapping) -> None:
        place = (task["study"], task["analysis"], task["ask"], task["site"])
        values = {"state": "no answer", "reason": "no answer", "answered": self.clock()}
        event = {
            "analysis": place[1],
            "site": place[3],
            "round": task["round"],
            "state": "no answer",
            "time": self.clock(),
        }
        facts = {"analysis": place[1], "site": place[3], "ask": place[2]}
        if self.store.settle(place, values, event, Entry("round.dropped", "hub", study=place[0], facts=facts)):
            self._after(place[0], row, place[3], "no answer")

    # ---- what nodes and researchers see

    def tasks_for(self, site: str, known: set[str]) -> list[Task]:
        """The tasks of a site that it does not have in hand."""
        waiting = [task for task in self.store.waiting_of(site) if task["ask"] not in known]
        return [self._wire(task) for task in waiting]

    def _wire(self, task: RowMapping) -> Task:
        study, analysis = task["study"], task["analysis"]
        row = self.store.study(study)
        assert row is not None
        asks = self.store.asks_of(study)
        ask = asks[analysis, task["ask"]]
        rounds = self.rounds(study, analysis, json.loads(ask["after"]), json.loads(ask["sites"]))
        document = AskDocument.model_validate_json(ask["document"])
        request = json.loads(row["request"])
        return Task(study=study, analysis=analysis, ask=document, transcript=rounds, request=request)

    def rounds(self, study: str, analysis: str, digests: list[str], sites: list[str]) -> list[RoundDocument]:
        """The transcript over these asks and sites."""
        asks = self.store.asks_of(study)
        answers: dict[tuple[str, str], str] = {}
        for task in self.store.tasks_of(study):
            if task["analysis"] == analysis and task["answer"] is not None:
                answers[task["ask"], task["site"]] = task["answer"]
        return [
            RoundDocument(
                ask=AskDocument.model_validate_json(asks[analysis, digest]["document"]),
                answers={site: json.loads(answers[digest, site]) for site in sites},
            )
            for digest in digests
        ]

    def ended(self, running: list[str]) -> dict[str, Any]:
        """Which of a node's studies have ended, and how."""
        ends = {}
        for study in running:
            row = self.store.study(study)
            if row is not None and row["state"] not in ("submitted", "running"):
                ends[study] = row["state"]
        return ends

    def receipt(self, study: str, kind: str, facts: Mapping[str, Any] | None = None) -> Document:
        """The receipt of the first entry of this kind with these facts about a study."""
        return self.store.receipt_of(study, kind, facts or {}).to_dict()


@lru_cache(maxsize=512)
def request_of(document: str) -> Request:
    """The request inside a stored envelope."""
    return Request.read(Envelope.from_dict(json.loads(document)))


@lru_cache(maxsize=8192)
def _release(answer: str) -> ReceivedRelease:
    return ReceivedRelease.from_dict(json.loads(answer)["release"])


def error_document(error: SojournError) -> Document:
    """An error as the client reads it."""
    words = str(error.args[0]) if error.args else ""
    family = getattr(error, "family", "")
    return {"error": type(error).__name__, "words": words, "remedy": error.remedy, "family": family}

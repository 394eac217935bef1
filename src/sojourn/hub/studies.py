"""The hub's care for running studies: asking, receiving, deadlines, ends. All state is the store's."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.disclosure.masked_gate import Received
from sojourn.errors import REASONS, UNKNOWN_WORD, AuditError, SojournError, StudyFailed
from sojourn.forms import Document
from sojourn.hub.bell import Bell
from sojourn.hub.circles import circle_of, stated_in
from sojourn.hub.combine import Releases, open_delivery
from sojourn.hub.drive import Concluded, Ended, Recorded, Wanted, drive
from sojourn.hub.held import IN_REVIEW
from sojourn.hub.questions import Question, question_of, request_of
from sojourn.hub.statements import CONTRIBUTED, GIVEN_UP, LIVE, SILENT, WITHHELD
from sojourn.hub.store import HubStore, Repeated, Stale
from sojourn.identity.envelope import Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import AskDocument, Delivery, PastStudy, PastTask, RoundDocument, Task
from sojourn.operations import logs
from sojourn.report.record import estimate_to_dict
from sojourn.study.circle import Circle
from sojourn.study.lifecycle import SITE, STUDY
from sojourn.study.masked import said_of
from sojourn.study.plan import Plan
from sojourn.study.question import Question as Asks

ABORT_AFTER = 120.0
KINDS = {CONTRIBUTED: "round.answered", WITHHELD: "round.refused"}  # of the log entry about a settled task
RECALLED = 20  # studies in one answer to a node that recalls what it said


class Studies:
    """Every method is safe from any thread; one study advances in one thread at a time.

    abort_after: seconds that a site may be out of reach before `stragglers: abort` ends the study.
    """

    def __init__(
        self, store: HubStore, bell: Bell, clock: Callable[[], float], abort_after: float = ABORT_AFTER
    ) -> None:
        self.store = store
        self.bell = bell
        self.clock = clock
        self.abort_after = abort_after
        self.log = logs.SILENT
        self._since = clock()
        self._locking = threading.Lock()
        self._making = threading.Lock()
        self._releases = Releases()
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._task_of = lru_cache(maxsize=256)(self._wire)  # an ask is the same for all its sites, and never changes

    def resume(self) -> None:
        """After a start: take up every study that has not ended. Time that the hub slept is no site's delay."""
        self._since = self.clock()
        for row in self.store.live_studies():
            self.advance(row["id"])

    # ---- going on

    def advance(self, study: str) -> None:
        """Ask what can be asked now, conclude what can be concluded."""
        with self._lock(study):
            while not self._advanced(study):
                pass

    def _advanced(self, study: str) -> bool:
        """False where another program changed the study meanwhile: look again."""
        row = self.store.study(study)
        if row is None or row["state"] not in LIVE:
            return True
        question = question_of(row["request"])
        if self._aborted(study, question):
            return True
        tasks = self.store.tasks_of(study)
        done = self.store.concluded(study)
        circle = circle_of(question.request, row["exchange"])
        try:
            for name in question.plan.analyses:
                if name not in done and self._advance(question, name, tasks, circle):
                    done.add(name)
        except Stale:
            return False
        if done == set(question.plan.analyses):
            self._finish(study)
        return True

    def _aborted(self, study: str, question: Question) -> bool:
        """End the study where its plan demands every site and one is silent."""
        site = self.store.silent(study) if question.plan.stragglers == "abort" else ""
        if not site:
            return False
        message = f"{site} did not contribute, and the plan says `stragglers: abort`."
        return self.end(study, "fail", message, "hub", {"site": site})

    def _advance(self, question: Question, name: str, tasks: list[RowMapping], circle: Circle | None) -> bool:
        request = question.request
        mine = [task for task in tasks if task["analysis"] == name]
        fallen = {task["site"] for task in mine if task["state"] in SILENT}
        answers: dict[str, dict[str, Received]] = defaultdict(dict)
        for task in mine:
            if task["answer"] is not None:
                place = (request.study, name, task["ask"], task["site"])
                answers[task["ask"]][task["site"]] = self._releases.read(place, task["answer"])
        sites = [site for site in request.roster if site not in fallen]
        least = request.min_sites if circle is None else len(request.roster)
        if len(sites) < least and any(task["state"] == SITE.initial for task in mine):
            return False  # it will have no answer, but each site may still say what it did
        state = self._driven(question, name, sites, lambda digest: answers[digest], circle)
        if isinstance(state, Wanted):
            asked = {task["site"] for task in mine if task["ask"] == state.digest}
            self._dispatch(request.study, name, state, [site for site in state.asked if site not in asked], fallen)
            return False
        self._conclude(request.study, name, state, fallen, circle)
        return True

    def _driven(
        self, question: Question, name: str, sites: list[str], recorded: Recorded, circle: Circle | None
    ) -> Wanted | Concluded | Ended:
        request, statistic = question.request, question.plan.analyses[name]
        try:
            asks = None if circle is None else Asks.of(request.study, name, question.plan, question.variables, circle)
            asked = (request.study, name, statistic, question.variables, sites, request.min_sites)
            return drive(*asked, recorded, asks)
        except Exception as failure:  # one analysis ends; the study, and the hub's start, go on
            self.log.error("analysis.not_combined", study=request.study, **logs.error_fields(failure))
            error = StudyFailed(
                "The hub could not combine what the sites released.",
                remedy="Report this to the hub's administrator, whose log holds the details.",
            )
            return Ended(error, (), tuple(sites))

    def _lock(self, study: str) -> threading.RLock:
        with self._locking:
            return self._locks[study]

    def _dispatch(self, study: str, analysis: str, wanted: Wanted, sites: list[str], fallen: set[str]) -> None:
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
        blank = {"state": SITE.initial, "reason": "", "answer": None, "bytes": 0, "dispatched": now, "answered": None}
        place = {"study": study, "analysis": analysis, "ask": wanted.digest, "round": number}
        rows = [{**place, "site": site, **blank} for site in sites]
        facts = {"analysis": analysis, "round": number, "step": wanted.ask.step, "ask": wanted.digest, "sites": sites}
        event = {"analysis": analysis, "round": number, "state": "asked", "sites": sites, "time": now}
        with suppress(Repeated):
            self.store.dispatch(ask, rows, fallen, event, Entry("round.asked", "hub", study=study, facts=facts))
        self.bell.ring(f"study:{study}", *(f"site:{site}" for site in sites))

    def _conclude(
        self, study: str, analysis: str, state: Concluded | Ended, fallen: set[str], circle: Circle | None
    ) -> None:
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
        facts: dict[str, Any] = {"analysis": analysis, "outcome": word, "rounds": len(rounds)}
        facts |= {"sites": list(state.sites)}
        facts |= {} if circle is None else said_of(circle.hash, state.rounds, values["estimate"])
        event = {"analysis": analysis, "state": word, "time": self.clock()}
        entry = Entry("analysis.concluded", "hub", study=study, facts=facts)
        with suppress(Repeated):
            self.store.conclude(study, analysis, values, fallen, event, entry)
        self._releases.forget(study, analysis)
        self.bell.ring(f"study:{study}")

    def _finish(self, study: str) -> None:
        answered = self.store.answered(study)
        event, message = ("complete", "") if answered else ("fail", "No analysis has an answer; each says why.")
        self.end(study, event, message, "hub", {"answered": answered})

    def end(self, study: str, event: str, message: str, actor: str, facts: Mapping[str, Any] | None = None) -> bool:
        """Move a study to its end by an event of its life and wake everyone concerned; False where it had ended."""
        state = STUDY.move("running", event)
        entry = Entry(f"study.{state}", actor, study=study, facts=facts or {})
        if not self.store.finish(study, event, message, self.clock(), entry):
            return False
        row = self.store.study(study)
        assert row is not None
        self.bell.ring(f"study:{study}", *(f"site:{site}" for site in question_of(row["request"]).request.roster))
        with self._locking:
            self._locks.pop(study, None)
        return True

    # ---- receiving

    def deliver(self, site: str, key: PublicKey, message: Delivery) -> Document:
        """Record a site's answer or reason, once; the receipt proves it. The same again gives the receipt again.

        What comes after the study's end, or after the site was given up, is not taken: the receipt says `round.late`.
        """
        row = self.store.study(message.study)
        place = (message.study, message.analysis, message.ask, site)
        task = self.store.task(place)
        if row is None or task is None:
            raise StudyFailed("This site was not asked that.", remedy="Upgrade the node, or restart it.")
        if task["state"] != SITE.initial or row["state"] not in LIVE:
            return self._again(row, task)
        values, entry = self._read(request_of(row["request"]), site, message)
        event = {
            "analysis": message.analysis,
            "site": site,
            "round": task["round"],
            "state": values["state"],
            "reason": values.get("reason", ""),
            "time": self.clock(),
        }
        settled = self.store.settle(place, values, event, entry, key.hex)
        if settled is None:
            return self.deliver(site, key, message)
        self._after(message.study, settled.alone or values["state"] in SILENT)
        return self.store.receipt(settled.entry).to_dict()

    def _read(self, request: Request, site: str, message: Delivery) -> tuple[dict[str, Any], Entry]:
        """What a delivery changes in its task, and the entry that says so."""
        values: dict[str, Any] = {"answered": self.clock()}
        facts = {"analysis": message.analysis, "site": site, "ask": message.ask}
        actor = f"node:{site}"
        if message.sealed is None:
            reason = message.reason if message.reason in REASONS else UNKNOWN_WORD
            values |= {"state": WITHHELD, "reason": reason}
            return values, Entry("round.refused", actor, study=message.study, facts={**facts, "reason": reason})
        answer, digest = open_delivery(self.store, request, site, message)
        size = len(message.sealed) // 2
        values |= {"state": CONTRIBUTED, "answer": json.dumps(answer), "bytes": size}
        return values, Entry(
            "round.answered", actor, study=message.study, facts={**facts, "release": digest, "bytes": size}
        )

    def _again(self, row: RowMapping, task: RowMapping) -> Document:
        """The receipt of what is settled: a repetition, or an answer that came too late and is thrown away."""
        facts = {"analysis": task["analysis"], "site": task["site"], "ask": task["ask"]}
        kind = KINDS.get(task["state"], "round.late")
        if kind == "round.late":
            self.store.note_late(Entry(kind, f"node:{task['site']}", study=row["id"], facts=facts))
        return self.receipt(row["id"], kind, facts)

    def _after(self, study: str, changed: bool) -> None:
        """changed: no other site is asked the same any more, or one fell out: what comes next may be due."""
        self.bell.ring(f"study:{study}")
        if changed:
            self.advance(study)

    def recall(self, site: str, after: str) -> list[PastStudy]:
        """What a site once said in the next studies after this one, each with the receipt of its log entry."""
        found: dict[str, list[PastTask]] = {}
        for task in self.store.said_by(site, after, RECALLED):
            said = found.setdefault(task["study"], [])
            facts = {"analysis": task["analysis"], "site": site, "ask": task["ask"]}
            try:
                receipt = self.receipt(task["study"], KINDS.get(task["state"], "round.late"), facts)
            except AuditError:  # the site was given up and never said anything
                continue
            said.append(
                PastTask(
                    analysis=task["analysis"],
                    ask=task["ask"],
                    round=task["round"],
                    answer=None if task["answer"] is None else json.loads(task["answer"]),
                    reason=task["reason"] if task["state"] == WITHHELD else None,
                    receipt=receipt,
                )
            )
        rows = {study: self.store.study(study) for study in found}
        return [
            PastStudy(study=study, request=json.loads(row["request"]), tasks=found[study])
            for study, row in rows.items()
            if row is not None
        ]

    # ---- deadlines

    def keep_deadlines(self, last_seen: Callable[[str], float]) -> None:
        """Apply each plan's straggler policy and each request's expiry. `last_seen`: the time of a site's last poll.

        A site that was removed is waited for no longer, also where another has joined by its name. Time in which the
        hub itself did not run is not counted against a site. What was left between two writes is taken up again.
        """
        now = self.clock()
        keys = self.store.site_keys()
        for row in self.store.live_studies():
            question = question_of(row["request"])
            policy = question.plan.stragglers
            waiting = self.store.waiting_in(row["id"])
            for task in waiting:
                asked = max(task["dispatched"], self._since)
                late = now > row["expires"] or (isinstance(policy, int) and now - asked > policy)
                gone = policy == "abort" and now - max(asked, last_seen(task["site"])) > self.abort_after
                removed = keys.get(task["site"]) != question.request.roster[task["site"]]
                if late or gone or removed:
                    self._drop(task)
            if self._due(row["id"], question.plan, {task["analysis"] for task in waiting}):
                self.advance(row["id"])

    def _due(self, study: str, plan: Plan, asked: set[str]) -> bool:
        """Whether a next round, an end or an abort is due that no answer will bring. asked: what is waited for."""
        left = set(plan.analyses) - self.store.concluded(study)
        return not left or not left <= asked or (plan.stragglers == "abort" and self.store.silent(study) != "")

    def _drop(self, task: RowMapping) -> None:
        place = (task["study"], task["analysis"], task["ask"], task["site"])
        reason = GIVEN_UP if task["review"] is None else IN_REVIEW
        values = {"state": GIVEN_UP, "reason": reason, "answered": self.clock()}
        now = self.clock()
        event = {"analysis": place[1], "site": place[3], "round": task["round"], "state": GIVEN_UP, "time": now}
        event |= {"reason": reason} if reason != GIVEN_UP else {}
        facts = {"analysis": place[1], "site": place[3], "ask": place[2]}
        entry = Entry("round.dropped", "hub", study=place[0], facts=facts)
        if self.store.settle(place, values, event, entry) is not None:
            self._after(place[0], True)

    # ---- what nodes and researchers see

    def tasks_for(self, site: str, known: set[str]) -> list[Task]:
        """The tasks of a site that it does not have in hand."""
        waiting = [task for task in self.store.waiting_of(site) if task["ask"] not in known]
        return [self._task(task["study"], task["analysis"], task["ask"]) for task in waiting]

    def _task(self, study: str, analysis: str, ask: str) -> Task:
        with self._making:  # its sites ask at the same moment
            return self._task_of(study, analysis, ask)

    def _wire(self, study: str, analysis: str, digest: str) -> Task:
        row = self.store.study(study)
        assert row is not None
        ask = self.store.asks_of(study)[analysis, digest]
        rounds = self.rounds(study, analysis, json.loads(ask["after"]), json.loads(ask["sites"]))
        document = AskDocument.model_validate_json(ask["document"])
        request, exchange = json.loads(row["request"]), stated_in(row["exchange"])
        return Task(study=study, analysis=analysis, ask=document, transcript=rounds, request=request, exchange=exchange)

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
                answers={site: json.loads(answers[digest, site]) for site in sites if (digest, site) in answers},
            )
            for digest in digests
        ]

    def ended(self, site: str, running: list[str], known: list[str]) -> dict[str, Any]:
        """Which of a node's studies have ended, and how; one that this hub does not know has failed.

        A task that the node has in hand names its study too: it may have begun to run while the poll was waiting.
        """
        states = dict.fromkeys(running, "failed") | self.store.states_of(site, running, known)
        return {study: state for study, state in states.items() if state not in LIVE}

    def receipt(self, study: str, kind: str, facts: Mapping[str, Any] | None = None) -> Document:
        """The receipt of the first entry of this kind with these facts about a study."""
        return self.store.receipt_of(study, kind, facts or {}).to_dict()


def error_document(error: SojournError) -> Document:
    """An error as the client reads it."""
    words = str(error.args[0]) if error.args else ""
    family = getattr(error, "family", "")
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == SojournError.__module__)
    return {"error": kind.__name__, "words": words, "remedy": error.remedy, "family": family}

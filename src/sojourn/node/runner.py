"""Runs tasks: admit, derive, charge, compute, gate, seal. One thread a study; its worker stays warm over all rounds."""

from __future__ import annotations

import errno
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial as bound

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.analysis.support import Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.output import Output
from sojourn.errors import AuditError, DisclosureRefused, EnvelopeRefused, SiteRefused, SojournError
from sojourn.messages import Task
from sojourn.node.admission import Admission, Run, reason_of
from sojourn.node.airlock import Airlock
from sojourn.node.attempts import Attempts
from sojourn.node.computing import Computation
from sojourn.node.decisions import Place, decision
from sojourn.node.departures import Departure, Later, after, wait_of
from sojourn.node.derivation import derive, derive_masked
from sojourn.node.histories import UNUSUAL
from sojourn.node.line import Line
from sojourn.node.masked_airlock import Evidence, MaskedAirlock
from sojourn.node.overlap_airlock import leaving
from sojourn.node.store import NodeStore

Opener = Callable[[Run], Computation]
Sender = Callable[[str, str, str], None]  # study, analysis, ask
Journal = Callable[[str, str], None]  # study, text that stays inside the site
Lines = Callable[[Callable[[Task], None], str], Line[Task]]
PARTING = 3.0  # seconds that the tasks in hand may take to notice that the node ends
MOST_DECISIONS = 64  # of one analysis, refusals included
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
AT_ONCE = max(4, os.cpu_count() or 1)  # computations; further studies wait for their turn
WARM = 2 * AT_ONCE  # workers that stay for their studies' next rounds; whose worker was ended gets another
AGAIN = 5.0  # seconds before a task that could not even be refused is asked for again


class Runner:
    """Takes tasks from the hub and leaves stored answers or reasons; `send` hands them over."""

    def __init__(
        self,
        store: NodeStore,
        admission: Admission,
        airlock: Airlock,
        opener: Opener,
        send: Sender,
        clock: Callable[[], float],
        journal: Journal,
        lines: Lines = Line,
        most_refusals: int = 0,
        pace: float = 0.0,
        later: Later = after,
    ) -> None:
        self._attempts = Attempts(store, most_refusals)
        self.store = store
        self.admission = admission
        self.airlock = airlock
        self._opener = opener
        self._send = send
        self._clock = clock
        self._journal = journal
        self._new_line = lines
        self._pace = pace  # seconds at whose multiples masked answers leave; 0: at once
        self._later = later
        self._lock = threading.Lock()
        self.took: Callable[[float], None] = lambda seconds: None
        self._closing = threading.Event()
        self._lines: dict[str, Line[Task]] = {}
        self._computations: dict[str, Computation] = {}  # the one used last comes last
        self._computing: set[str] = set()  # studies
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._supports: dict[tuple[str, str], Support] = {}
        self._known: dict[str, str] = {}  # task → study
        self._taken: dict[str, float] = {}  # task → when it came
        self._ended: set[str] = set()
        self.opened: Callable[[], None] = lambda: None  # hears that an answer waits for a checker
        self.sweep: Callable[[], None] = lambda: None  # closes what waits of runs that are over
        self.trouble = ""  # why the last task could not even be refused, for the custodian

    def known(self) -> list[str]:
        """Tasks in hand, which the hub need not send again."""
        with self._lock:
            return sorted(self._known)

    def take(self, task: Task) -> None:
        """Queue a task on its study's thread; a task in hand is not taken twice.

        One of a study that has ended, as a hub may send that forgot the end, is answered too: it would come for ever.
        """
        key = task.key()
        with self._lock:
            if key in self._known or self._closing.is_set():
                return
            self._known[key], self._taken[key] = task.study, self._clock()
            line = "" if task.study in self._ended else task.study
            if line not in self._lines:
                self._lines[line] = self._new_line(self._do, f"study-{line[:8]}")
            self._lines[line].put(task)

    def end(self, study: str, how: str) -> None:
        """The study is over: its worker is killed at once, whatever it is doing, and nothing more is released."""
        with self._lock:
            self._ended.add(study)
            computation = self._computations.pop(study, None)
            line = self._lines.pop(study, None)
            for place in [place for place in self._supports if place[0] == study]:
                del self._supports[place]
            for key in [key for key, owner in self._known.items() if owner == study]:
                del self._known[key]
                self._taken.pop(key, None)
        if line is not None:
            line.end()
        try:
            if self.store.run(study) is not None:
                self.store.end(study, how, Entry("run.ended", self.actor, study=study, facts={"how": how}))
            self.sweep()
        finally:  # also where the disk is full, and the end is told again at the next turn
            if computation is not None:
                computation.finish()

    def expire(self) -> None:
        """End the runs whose requests have expired, also where the hub is gone and will never say so."""
        for study in self.admission.expired(self._clock()):
            self.end(study, "expired")
        self.sweep()

    def close(self) -> None:
        """Stop everything in hand without ending the runs: they go on after a restart."""
        self._closing.set()
        with self._lock:
            lines, computations = list(self._lines.values()), list(self._computations.values())
        for line in lines:
            line.end()
        for computation in computations:
            computation.cancel()
        until = time.monotonic() + PARTING
        for line in lines:
            line.join(max(0.0, until - time.monotonic()))

    @property
    def actor(self) -> str:
        """How this node is named in its log."""
        return f"node:{self.airlock.site}"

    def forget(self, key: str) -> None:
        """A task is settled at the hub, or must be asked again."""
        with self._lock:
            self._known.pop(key, None)
            self._taken.pop(key, None)

    # ---- one task

    def _do(self, task: Task) -> None:
        key = task.key()

        def answer() -> Departure | None:
            if self.store.release(task.study, task.analysis, key) is not None or self._held(task, key):
                return None
            if self.store.asked(task.study, task.analysis) >= MOST_DECISIONS:
                raise SiteRefused("rounds")  # not even stored: a hub may not fill the disk
            began = time.perf_counter()
            departure = self._answer(task, key)
            self.took(time.perf_counter() - began)
            return departure

        self._attempt(task, key, answer)

    def _attempt(self, task: Task, key: str, answer: Callable[[], Departure | None]) -> None:
        """Answer and hand over; or let the answer wait for its time, with the task in hand."""
        try:
            departure = answer()
        except Exception as error:
            self._journal(task.study, traceback.format_exc())
            self.trouble = str(error) if isinstance(error, SojournError) else "A task failed: see the journal."
            self._closing.wait(AGAIN)  # a full disk, say: the hub would send it at once
            self.forget(key)
            return
        self.trouble = ""
        if departure is not None:
            self._later(departure.wait, bound(self._depart, task, key, departure.go))
            return
        try:
            if self._held(task, key):
                self.opened()
            else:
                self._send(task.study, task.analysis, key)
        finally:
            self.forget(key)

    def _depart(self, task: Task, key: str, go: Callable[[], object]) -> None:
        """It is time. A node that has ended meanwhile leaves it: it is asked again after the start."""

        def answer() -> None:
            if self.store.release(task.study, task.analysis, key) is None:
                go()

        if not self._closing.is_set():
            self._attempt(task, key, answer)

    def _held(self, task: Task, key: str) -> bool:
        return self.airlock.reviews.held(task.study, task.analysis, key)

    def _answer(self, task: Task, key: str) -> Departure | None:
        """Leave a sealed answer or a reason in the store; or what does so, where it is not time yet."""
        if task.study in self._ended:
            self._refuse_unadmitted(task, key, "cancelled")
            return None
        try:
            run = self.admission.run(task, self._clock())
        except (EnvelopeRefused, SiteRefused) as error:
            self._refuse_unadmitted(task, key, error.reason)
            researcher, _ = self.admission.signer(task)
            if researcher:
                self.airlock.histories.look(researcher, self._clock())
            return None
        place = Place(run, task.analysis, key, sites_of(task), len(task.transcript) + 1)
        return self._guarded(place, lambda: self._compute(task, place))

    def _guarded(self, place: Place, do: Callable[[], Departure | None]) -> Departure | None:
        """Do it; where it fails, leave the reason in the store."""
        study = place.run.request.study
        try:
            return do()
        except DisclosureRefused:
            pass  # the airlock has stored why
        except AuditError:
            raise  # what cannot be logged now, a full disk say, is no refusal: it is asked for again
        except SojournError as error:
            if self._closing.is_set():
                return None  # stopped with the node: no refusal, the hub asks again after its start
            self._journal(study, traceback.format_exc())
            self.airlock.refuse(place, reason_of(error), "", self._clock())
        except OSError as error:
            self._journal(study, traceback.format_exc())
            reason = "no space" if error.errno in NO_SPACE else "internal"
            self.airlock.refuse(place, reason, "", self._clock())
        except Exception:
            self._journal(study, traceback.format_exc())
            self.airlock.refuse(place, "internal", "", self._clock())
        return None

    def _compute(self, task: Task, place: Place) -> Departure | None:
        run, statistic = place.run, place.run.plan.analyses.get(task.analysis)
        if run.circle is not None:
            return self._masked(task, place)
        ask = derive(run, task, self.airlock.site)
        assert statistic is not None
        before = self.store.sites_before(task.study, task.analysis)
        if place.sites and before is not None and not set(place.sites) <= before:
            raise SiteRefused("broadcast")  # a site that dropped out may not return: each set of sites is another fit
        if self.store.asked(task.study, task.analysis) >= statistic.rounds():
            raise SiteRefused("rounds")
        if not place.sites:
            self._look(run)
        if not place.sites and self._attempts.exhausted(run, self._clock()):
            raise SiteRefused("attempts")
        place = self.airlock.asked(place, ask)
        if self.airlock.repeat(place, self._clock()):
            return None
        with self._turns:
            try:
                computation = self._computation(run)
                noised = self.airlock.private(
                    place, ask, lambda inner: computation.round(task.analysis, inner)[0], self._clock()
                )
                support = self._support(computation, run, task.analysis)
                partial, working = (noised.partial, None) if noised else computation.round(task.analysis, ask)
            finally:
                with self._lock:
                    self._computing.discard(task.study)
        if support.design is not None:
            support = replace(support, design=replace(support.design, working=working))
        step = next(step for step in statistic.steps(run.variables) if step.name == ask.step)
        self.airlock.pass_out(place, step, partial, support, self._clock(), noised)
        return None

    def _masked(self, task: Task, place: Place) -> Departure | None:
        """One round of a masked plan: what fails in it is told to nobody, so that only a stopped study says so."""
        self._demand_usual(place, first=not task.transcript)
        told, rounds = derive_masked(place.run, task, self.airlock.site)
        if self.store.asked(task.study, task.analysis) >= told.question.most_rounds:
            raise SiteRefused("rounds")
        assert self.airlock.masking is not None
        journal, exhausted = bound(self._journal, task.study), bound(self._attempts.exhausted, place.run, self._clock())
        parts = MaskedAirlock(self.airlock, self.airlock.masking, journal, self._closing.is_set, exhausted)
        with self._turns:
            try:
                evidence, now = self._evidence(place), self._clock()
                leave = leaving(parts, self._pace > 0, place, told, rounds, evidence, now)
                if leave is None:
                    return None
            finally:
                with self._lock:
                    self._computing.discard(task.study)
        took = self._clock() - self._taken.get(place.ask, self._clock())
        if took > self._pace:
            self._journal(task.study, f"A masked answer took {took:.1f} s: longer than masked_pace, which can be seen.")
        return Departure(wait_of(self._pace, took), lambda: self._guarded(place, lambda: leave(self._clock())))

    def _look(self, run: Run) -> None:
        """See whether the history of a run's researcher looks like abuse; rehearsals are in no history."""
        if not run.request.rehearsal:
            known = self.store.run(run.request.study)
            assert known is not None  # it was admitted
            self.airlock.histories.look(known["researcher"], self._clock())

    def _demand_usual(self, place: Place, first: bool) -> None:
        """SiteRefused("unusual") while an alarm stands: nobody checks a masked answer. It tells of the asker alone."""
        if first:
            self._look(place.run)
        if not place.run.request.rehearsal and self.airlock.histories.finding(place.run.request.study):
            raise SiteRefused(UNUSUAL)

    def _evidence(self, place: Place) -> Evidence:
        """What the gate of masked plans asks of a run's computation; nothing is opened before it is asked."""
        run, statistic = place.run, place.run.plan.analyses[place.analysis]

        def support(analysis: str) -> Support:
            return self._support(self._computation(run), run, analysis)

        def measure(ask: Ask) -> Output:
            partial, working = self._computation(run).round(place.analysis, ask)
            found = support(place.analysis)
            if found.design is not None:
                found = replace(found, design=replace(found.design, working=working))
            step = next(step for step in statistic.steps(run.variables) if step.name == ask.step)
            return Output(statistic.name, step, partial, found, run.variables, statistic.rules)

        def leverage(ask: Ask, sums: Partial) -> float | None:
            return self._computation(run).leverage(place.analysis, ask, sums)

        return Evidence(support, measure, leverage, lambda ask: self._computation(run).squares(place.analysis, ask))

    def _support(self, computation: Computation, run: Run, analysis: str) -> Support:
        """The evidence behind every round of an analysis, computed once a run."""
        place = (run.request.study, analysis)
        with self._lock:
            support = self._supports.get(place)
        if support is None:
            support = computation.support(analysis)
            with self._lock:
                self._supports[place] = support
        return support

    def _computation(self, run: Run) -> Computation:
        study = run.request.study
        with self._lock:
            self._demand_live(study)
            self._computing.add(study)
            computation = self._computations.pop(study, None)
            if computation is not None:
                self._computations[study] = computation
                return computation
        computation = self._opener(run)
        try:
            with self._lock:
                self._demand_live(study)
                self._computations[study] = computation
                spare = self._spare()
        except SiteRefused:
            computation.cancel()
            raise
        for idle in spare:
            idle.finish()
        return computation

    def _demand_live(self, study: str) -> None:
        if study in self._ended or self._closing.is_set():
            raise SiteRefused("cancelled")

    def _spare(self) -> list[Computation]:
        """Take out the workers above `WARM`, those first that were not asked for longest."""
        idle = [study for study in self._computations if study not in self._computing]
        return [self._computations.pop(study) for study in idle[: max(0, len(self._computations) - WARM)]]

    def _refuse_unadmitted(self, task: Task, key: str, reason: str) -> None:
        facts = {"analysis": task.analysis, "ask": key, "reason": reason}
        entry = Entry("release.refused", self.actor, study=task.study, facts=facts)
        row = decision(task.study, task.analysis, key, len(task.transcript) + 1, self._clock())
        self.store.seal(row | {"reason": reason}, entry)


def sites_of(task: Task) -> tuple[str, ...]:
    """The sites whose releases a task's transcript holds; none in the first round."""
    return tuple(sorted(task.transcript[0].answers)) if task.transcript else ()

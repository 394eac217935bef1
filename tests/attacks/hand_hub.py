"""A hub that the test plays by hand: it asks real nodes what it likes, in the order that it likes."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

import sojourn as sj
from sojourn.analysis.statistic import Ask
from sojourn.analysis.variable import with_site
from sojourn.hub.drive import Concluded, Ended, Wanted, drive
from sojourn.identity.envelope import REQUEST_TYPE, Envelope, Request, sign
from sojourn.messages import AskDocument, RoundDocument, Stated, Task, received
from sojourn.node.masking import circle_of
from sojourn.study.plan import Plan
from sojourn.study.question import Question
from sojourn.testbed import NAME, Federation

Answers = dict[str, dict[str, Any]]


class HandHub:
    """One masked study with one analysis, `n`. rounds: what was asked and answered so far.

    Each has a lower id than those before it, and so comes before what tests leave unfinished.
    """

    _ids = itertools.count(2**127, -1)

    def __init__(self, federation: Federation, plan: sj.Plan, sites: list[str] | None = None) -> None:
        self.federation = federation
        for node in federation.nodes.values():
            node.leave()  # so that the federation's own hub, which does not know this study, does not end it
        project = federation.project()
        self.request = project.request(plan.replace(purpose="NRES"), sites or "all")
        self.sign_again(study=f"{next(self._ids):032x}")
        self.exchange = {site: self.stated(site) for site in self.request.roster}
        self.rounds: list[RoundDocument] = []

    def stated(self, site: str) -> Stated:
        return Stated.model_validate(self.federation.nodes[site].masking.public(NAME)["exchange"])

    def sign_again(self, **changes: Any) -> None:
        """The researcher signs a changed request."""
        document = {**vars(self.request), **changes}
        self.request = Request(**document)
        self.envelope: Envelope = sign(REQUEST_TYPE, self.request.encode(), self.federation.project().federation.key)

    @property
    def question(self) -> Question:
        plan = Plan.from_dict(dict(self.request.plan))
        variables = with_site(plan.variables, tuple(self.request.roster))
        circle = circle_of(self.request.roster, self.exchange, NAME)
        return Question.of(self.request.study, "n", plan, variables, circle)

    def state(self) -> Wanted | Concluded | Ended:
        """What an honest hub would do next."""
        asks = self.question
        told = {past.ask.digest(self.request.study, "n"): past.answers for past in self.rounds}

        def recorded(digest: str) -> dict[str, Any]:
            return {site: received(answer) for site, answer in told.get(digest, {}).items()}

        sites = list(self.request.roster)
        return drive(self.request.study, "n", asks.statistic, asks.variables, sites, 1, recorded, asks)

    def task(self, ask: AskDocument | None = None, **changes: Any) -> Task:
        if ask is None:
            wanted = self.state()
            assert isinstance(wanted, Wanted), wanted
            ask = wanted.ask
        words: dict[str, Any] = {"transcript": self.rounds, "exchange": self.exchange}
        document = self.envelope.to_dict()
        return Task(study=self.request.study, analysis="n", ask=ask, request=document, **(words | changes))

    def put(self, site: str, task: Task) -> dict[str, Any] | str:
        """What a node answers to a task: its signed answer, or the reason why not."""
        runner, key = self.federation.nodes[site].runner, task.key()
        if runner.store.release(task.study, task.analysis, key) is None:
            runner._answer(task, key)
        row = runner.store.release(task.study, task.analysis, key)
        assert row is not None
        return row["reason"] or json.loads(row["answer"])

    def go(self, until: str = "", rounds: int = 100) -> Wanted | Concluded | Ended:
        """Be honest for so many rounds, or until this step is due."""
        while isinstance(state := self.state(), Wanted) and state.ask.step != until and rounds:
            answers = {site: self.put(site, self.task(state.ask)) for site in state.asked}
            refused = {site: answer for site, answer in answers.items() if isinstance(answer, str)}
            assert not refused
            self.rounds.append(RoundDocument(ask=state.ask, answers=answers))  # type: ignore[arg-type]
            rounds -= 1
        return state

    def changed(self, place: int, site: str, answer: Mapping[str, Any]) -> list[RoundDocument]:
        """The transcript with another answer of one site."""
        rounds = copy.deepcopy(self.rounds)
        rounds[place].answers[site] = dict(answer)
        return rounds


def other_broadcast(ask: AskDocument, **arrays: Any) -> AskDocument:
    """The same step with other numbers."""
    words = ask.ask()
    changed = {name: np.asarray(value, dtype=float) for name, value in arrays.items()}
    return AskDocument.of(Ask(words.step, {**words.broadcast, **changed}))

"""A node computes only what it can derive: checks an ask against the transcript that the hub sends with it."""

from __future__ import annotations

import json
from functools import lru_cache

from sojourn.analysis.statistic import Ask, Estimate, Statistic
from sojourn.disclosure.masked_gate import Received
from sojourn.errors import SiteRefused
from sojourn.identity.keys import PublicKey
from sojourn.messages import ReceivedAnswer, RoundDocument, Task
from sojourn.node.admission import Run
from sojourn.study.masked import MaskedReplay, coherent_masked, replay_masked
from sojourn.study.overlapping import OverlapReplay
from sojourn.study.question import Question
from sojourn.study.transcript import Round, coherent, replay, same


def derive(run: Run, task: Task, site: str) -> Ask:
    """The ask as this node derives it from the releases; SiteRefused("broadcast") where the hub's is another one.

    The hub's own numbers are compared and thrown away: not a bit of them reaches the records.
    """
    statistic = run.plan.analyses.get(task.analysis)
    if statistic is None:
        raise SiteRefused("malformed")
    if len(task.transcript) >= statistic.rounds():
        raise SiteRefused("rounds")
    try:
        return _derived(run, task, statistic, site)
    except Exception as error:  # what cannot be read or replayed does not follow
        raise SiteRefused("broadcast") from error


def derive_masked(run: Run, task: Task, site: str) -> tuple[MaskedReplay | OverlapReplay, list[Round]]:
    """The same of a masked plan: where the analysis stands, and the rounds before this ask."""
    statistic = run.plan.analyses.get(task.analysis)
    if statistic is None or run.circle is None:
        raise SiteRefused("malformed")
    request = run.request
    question = Question.of(request.study, task.analysis, run.plan, run.variables, run.circle)
    if len(task.transcript) >= question.most_rounds:
        raise SiteRefused("rounds")
    try:
        rounds = [_read(run, task, document) for document in task.transcript]
        if not coherent_masked(question, rounds, request.plan_hash, request.rehearsal):
            raise ValueError("the transcript is not one of this study")
        told = replay_masked(question, rounds)
        if isinstance(told.state, Estimate) or not same(told.state, task.ask.ask()) or site not in told.asked:
            raise ValueError("the coordinator does not ask this")
    except Exception as error:  # what cannot be read or replayed does not follow
        raise SiteRefused("broadcast") from error
    return told, rounds


def _derived(run: Run, task: Task, statistic: Statistic, site: str) -> Ask:
    """What the coordinator asks after the transcript; ValueError where the transcript or the ask is another."""
    asked, request = task.ask.ask(), run.request
    rounds = [_read(run, task, document) for document in task.transcript]
    of = (request.study, request.plan_hash, task.analysis, site, request.min_sites, request.rehearsal)
    if not coherent(rounds, *of):
        raise ValueError("the transcript is not one of this study")
    derived = replay(statistic, run.variables, rounds)
    if isinstance(derived, Estimate) or not same(derived, asked):
        raise ValueError("the coordinator does not ask this")
    return derived


def _read(run: Run, task: Task, document: RoundDocument) -> Round:
    releases = {
        site: _release(json.dumps(answer, sort_keys=True), run.request.roster[site])
        for site, answer in document.answers.items()
    }
    return Round(document.ask.ask(), document.ask.digest(task.study, task.analysis), releases)


@lru_cache(maxsize=4096)
def _release(answer: str, key: str) -> Received:
    """A release under its site's signature; each round brings those of all rounds before it again."""
    return ReceivedAnswer.read(json.loads(answer), PublicKey.from_hex(key)).release

"""A node computes only what it can derive: checks an ask against the transcript that the hub sends with it."""

from __future__ import annotations

from sojourn.analysis.statistic import Ask, Estimate, Statistic
from sojourn.errors import IdentityError, SiteRefused, SojournError
from sojourn.identity.keys import PublicKey
from sojourn.messages import ReceivedAnswer, RoundDocument, Task
from sojourn.node.admission import Run
from sojourn.study.transcript import Round, coherent, replay, same


def derive(run: Run, task: Task, site: str) -> Ask:
    """The ask, if the coordinator asks just this after these releases; SiteRefused("broadcast") otherwise."""
    statistic = run.plan.analyses.get(task.analysis)
    if statistic is None:
        raise SiteRefused("malformed")
    if len(task.transcript) >= statistic.rounds():
        raise SiteRefused("rounds")
    try:
        rounds = [_read(run, task, document) for document in task.transcript]
        asked = task.ask.ask()
        derived = _follow(run, statistic, rounds)
    except (ValueError, KeyError, IdentityError) as error:
        raise SiteRefused("broadcast") from error
    least = run.request.min_sites
    if not coherent(rounds, run.request.study, run.request.plan_hash, task.analysis, site, least):
        raise SiteRefused("broadcast")
    if not same(derived, asked):
        raise SiteRefused("broadcast")
    return asked


def _follow(run: Run, statistic: Statistic, rounds: list[Round]) -> Ask:
    try:
        derived = replay(statistic, run.variables, rounds)
    except SojournError as error:
        raise ValueError("the coordinator ends here") from error
    if isinstance(derived, Estimate):
        raise ValueError("the coordinator has its answer")
    return derived


def _read(run: Run, task: Task, document: RoundDocument) -> Round:
    releases = {
        site: ReceivedAnswer.read(answer, PublicKey.from_hex(run.request.roster[site])).release
        for site, answer in document.answers.items()
    }
    return Round(document.ask.ask(), document.ask.digest(task.study, task.analysis), releases)

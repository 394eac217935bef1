"""Replays a study's pure coordinators over the rounds in the store and says what to ask next.

Nothing of an analysis lives in the process: a hub that was killed goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sojourn.analysis.statistic import Estimate, Statistic
from sojourn.analysis.variable import Variables
from sojourn.disclosure.masked_gate import Received
from sojourn.errors import REASONS, DroppedOut, SojournError, TooFewSites
from sojourn.messages import AskDocument
from sojourn.study.masked import MaskedReplay, replaying
from sojourn.study.overlapping import OverlapReplay
from sojourn.study.question import Question
from sojourn.study.transcript import Replay, Round

Recorded = Callable[[str], Mapping[str, Received]]


@dataclass(frozen=True)
class Wanted:
    """The next round: its ask, and the rounds before it. `sites` are those still in the analysis; `asked`: those of
    them that this round is for.
    """

    ask: AskDocument
    digest: str
    rounds: tuple[Round, ...]
    sites: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Concluded:
    """The estimate and all rounds that it rests on, over the sites that contributed."""

    estimate: Estimate
    rounds: tuple[Round, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """The analysis has no answer."""

    error: SojournError
    rounds: tuple[Round, ...]
    sites: tuple[str, ...]


def drive(
    study: str,
    analysis: str,
    statistic: Statistic,
    variables: Variables,
    sites: Sequence[str],
    least: int,
    recorded: Recorded,
    asks: Question | None = None,
) -> Wanted | Concluded | Ended:
    """Where an analysis stands, given the releases recorded for each ask of the sites that are still in it.

    A site that falls out (a refusal, no answer) falls out of every round: the sums change, so the asks after it do, and
    those are asked anew of the sites that remain. asks: of a masked plan, whose sums exist over all of its sites or
    not at all: there a site that falls out ends the analysis.
    """
    names = tuple(sorted(sites))
    if asks is not None and (missing := sorted(set(asks.circle.keys) - set(names))):
        return Ended(dropped_out(missing), (), names)
    if len(names) < least:
        return Ended(too_few(len(names), least), (), names)
    rounds: list[Round] = []
    most = statistic.rounds() if asks is None else asks.most_rounds
    try:
        told: Replay | MaskedReplay | OverlapReplay = Replay(statistic, variables) if asks is None else replaying(asks)
        while True:
            step = told.state
            if isinstance(step, Estimate):
                return Concluded(step, tuple(rounds), names)
            document = AskDocument.of(step)
            digest = document.digest(study, analysis)
            releases = recorded(digest)
            asked = names if isinstance(told, Replay) else told.asked
            if any(name not in releases for name in asked):
                return Wanted(document, digest, tuple(rounds), names, asked)
            if len(rounds) >= most:
                raise RuntimeError("a coordinator asks for more rounds than it declared")
            rounds.append(Round(document.ask(), digest, {name: releases[name] for name in asked}))
            told.tell(rounds[-1])
    except SojournError as error:
        return Ended(error, tuple(rounds), names)


def too_few(found: int, least: int) -> TooFewSites:
    """The error for an analysis with too few sites."""
    return TooFewSites(
        f"{found} of the {least} sites that the plan demands released an answer.",
        remedy="See what each site did and its remedy; widen groups, use fewer terms, or ask more sites.",
    )


def dropped_out(sites: Sequence[str]) -> DroppedOut:
    """The error for a masked analysis that some sites left."""
    reason = REASONS["dropped out"]
    return DroppedOut(f"{reason.sentence} Missing: {', '.join(sites)}.", remedy=reason.remedy)

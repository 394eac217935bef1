"""What is stored of a decision at the airlock: which question it answers, what leaves or waits, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.analysis.partial import Partial
from sojourn.disclosure.gate import Decided, Held
from sojourn.disclosure.output import Output
from sojourn.disclosure.review import finding_from_dict
from sojourn.node.admission import Run
from sojourn.node.evidence import support_from_dict


@dataclass(frozen=True)
class Place:
    """Which question an output answers."""

    run: Run
    analysis: str
    ask: str
    sites: tuple[str, ...]  # whose releases the ask rests on; none in the first round
    round: int


def review_id(place: Place) -> str:
    """Names the review of what answers an ask: the same ask, the same review."""
    words = f"{place.run.request.study}\n{place.analysis}\n{place.ask}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def held_of(row: RowMapping) -> Held:
    """What is held, as it is stored."""
    return Held(bytes(row["document"]), row["digest"], finding_from_dict(json.loads(row["finding"])))


def output_of(place: Place, row: RowMapping) -> Output:
    """A held output as the gate looked at it, but for the numbers that were hidden: they are nowhere."""
    statistic, variables = place.run.plan.analyses[place.analysis], place.run.variables
    partial = Partial.from_dict(json.loads(row["document"])["partial"])
    shapes = {name: array.shape for name, array in partial.arrays.items()}
    step = next(
        step
        for step in statistic.steps(variables)
        if {name: tuple(shape) for name, shape in step.partial.items()} == shapes
    )
    support = support_from_dict(json.loads(row["support"]))
    return Output(statistic.name, step, partial, support, variables, statistic.rules)


def decided(row: RowMapping, envelopes: Sequence[Mapping[str, Any]], seated: Mapping[str, str]) -> Decided:
    """A review's votes as the gate counts them."""
    return Decided(row["digest"], tuple(envelopes), seated, finding_from_dict(json.loads(row["finding"])))


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
        "withheld": "",
        "newest": None,
    }

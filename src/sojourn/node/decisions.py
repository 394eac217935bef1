"""What is stored of a decision at the airlock: which question it answers, what leaves or waits, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import rfc8785
from sqlalchemy.engine import RowMapping

from sojourn import __version__
from sojourn.analysis.declaration import variable_to_dict
from sojourn.analysis.partial import Partial, encode
from sojourn.analysis.statistic import Ask
from sojourn.disclosure.gate import Decided, Header, Held, Policy, Release
from sojourn.disclosure.masked_gate import MaskedRelease
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import finding_from_dict
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Answer
from sojourn.node.admission import Run
from sojourn.node.evidence import support_from_dict
from sojourn.wire.seal import release_info, seal


@dataclass(frozen=True)
class Place:
    """Which question an output answers."""

    run: Run
    analysis: str
    ask: str
    sites: tuple[str, ...]  # whose releases the ask rests on; none in the first round
    round: int
    question: str = ""  # equal for identical asks of whatever study; empty where it is not known


def question(run: Run, analysis: str, ask: Ask, policy: StandardPolicy) -> str:
    """What is asked, under which rules, as SHA-256 (hex): identical asks of one snapshot have one answer.

    The whole plan's columns, selection and declarations decide its population, so that all of them are asked.
    """
    statistic, plan = run.plan.analyses[analysis], run.plan
    document: dict[str, Any] = {
        "dataset": run.dataset,
        "snapshot": run.snapshot,
        "rows": {"where": plan.where, "missing": plan.missing, "names": list(plan.names)},
        "variables": {name: variable_to_dict(variable) for name, variable in run.variables.items()},
        "statistic": {statistic.name: statistic.arguments()},
        "step": ask.step,
        "broadcast": {name: encode(array) for name, array in ask.broadcast.items()},
        "policy": [policy.name, policy.version, str(asdict(policy.parameters))],  # a seed may exceed JSON's numbers
        "software": __version__,
    }
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def dimensions(run: Run, analysis: str) -> dict[str, str]:
    """Names of a table's dimensions that differ where the levels do: a column, and a hash of what divides it."""
    edges = run.plan.analyses[analysis].arguments().get("edges")
    documents = {name: [variable_to_dict(one), edges] for name, one in run.variables.items()}
    return {name: f"{name}:{hashlib.sha256(rfc8785.dumps(said)).hexdigest()[:16]}" for name, said in documents.items()}


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


def sealed(place: Place, cleared: Release | MaskedRelease, key: PrivateKey, site: str) -> dict[str, object]:
    """A release as it is stored: under the site's signature, and so sealed to the run's key."""
    document, request = Answer(cleared, key).to_dict(), place.run.request
    info = release_info(study=request.study, analysis=place.analysis, round=place.ask, site=site)
    blob = seal(request.seal_key, json.dumps(document, sort_keys=True).encode(), info)
    return {"sealed": blob, "answer": json.dumps(document)}


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


def header_of(place: Place, policy: Policy, site: str) -> Header:
    """What stands over every release of a place."""
    return Header(
        study=place.run.request.study,
        plan=place.run.request.plan_hash,
        analysis=place.analysis,
        round=place.round,
        ask=place.ask,
        site=site,
        snapshot=place.run.snapshot,
        policy=policy.name,
        policy_version=policy.version,
        hidden_max=policy.hidden_max(),
        software=__version__,
        watermark=policy.watermark,
    )

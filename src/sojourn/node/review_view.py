"""What a checker sees of a held output, inside the site: its numbers with the risky cells marked, the rule in words,
what was released before. Nothing of it leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import RowMapping

from sojourn.analysis.partial import Partial
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.table import labels
from sojourn.analysis.variable import Kind, Variables
from sojourn.disclosure.output import Finding, Tier
from sojourn.disclosure.review import LIVE, NEEDED, VOTE_TYPE, Vote, cell_names, votes
from sojourn.disclosure.suppression import spread
from sojourn.errors import REASONS
from sojourn.identity.envelope import Envelope
from sojourn.identity.keys import PublicKey
from sojourn.node.admission import Run, opened
from sojourn.node.airlock import Airlock
from sojourn.node.decisions import Place, held_of, output_of
from sojourn.node.reviewing import Desk

HIDDEN = "■"
MOST_SHOWN = 2000  # rows of one table
MOST_BEFORE = 20


def listed(desk: Desk, everything: bool) -> list[dict[str, Any]]:
    """What waits, the oldest first, or all that ever did; with how long it waited."""
    now, found = desk.clock(), desk.airlock.reviews
    return [_facts(desk, row, now) for row in (found.all() if everything else found.live())]


def shown(desk: Desk, name: str) -> dict[str, Any]:
    """One held output for a checker. Votes are told only when the review is decided: no checker sees another's."""
    row = desk.airlock.reviews.review(name)
    place = desk.place(row)
    held, output = held_of(row), output_of(place, row)
    partial, support = output.partial, output.support
    threshold = desk.airlock.policy_of(place).hidden_max() + 1
    statistic = place.run.plan.analyses[place.analysis]
    model = desk.airlock.learning.model()
    seen = json.loads(row["features"])
    return {
        **_facts(desk, row, desk.clock()),
        "kind": statistic.name,
        "arguments": statistic.arguments(),
        "title": place.run.plan.title,
        "purpose": place.run.plan.purpose,
        "where": place.run.plan.where,
        "note": held.finding.note,
        "rule": REASONS[row["family"]].sentence if row["family"] in REASONS else "",
        "persons": len(support.population),
        "tables": _tables(partial, support, held.finding, place.run.variables, threshold),
        "design": _design(support),
        "before": before(desk.airlock, place, partial, threshold),
        "neighbours": desk.airlock.neighbours(place, output),
        "risk": {
            "decisions": desk.airlock.reviews.decided(),
            "chance": None if model is None else round(model.probability(seen), 3),
            "reasons": [] if model is None else model.reasons(seen),
        },
        "covers": "An approval for the run also covers later rounds of this analysis that are no riskier."
        if statistic.rounds() > 1
        else "This analysis has one round.",
        "votes": [] if row["state"] in LIVE else _votes(desk, row),
    }


def _facts(desk: Desk, row: RowMapping, now: float) -> dict[str, Any]:
    until = now if row["decided"] is None else row["decided"]
    run = desk.place(row).run
    seated = desk.airlock.seated(run)
    cast = desk.airlock.reviews.envelopes(row["id"])
    return {
        "review": row["id"],
        "state": row["state"],
        "tier": row["tier"],
        "family": row["family"],
        "study": row["study"],
        "project": run.request.project,
        "analysis": row["analysis"],
        "round": row["round"],
        "sha256": row["digest"],
        "version": row["version"],
        "needs": NEEDED[Tier(row["tier"])],
        "has": len(votes(cast, row["digest"], seated)),
        "may_check": sorted(seated),
        "opened": row["opened"],
        "waited": round(until - row["opened"], 1),
        "how": row["how"],
    }


def _votes(desk: Desk, row: RowMapping) -> list[dict[str, Any]]:
    """Every vote, as it was signed."""
    told = []
    for cast in desk.airlock.reviews.votes(row["id"]):
        envelope = Envelope.from_dict(json.loads(cast["envelope"]))
        assert envelope.payload_type == VOTE_TYPE
        vote = Vote.read(envelope)
        told.append(
            {
                "checker": cast["checker"],
                "key": PublicKey.from_hex(cast["key"]).id,
                "verdict": vote.verdict,
                "reason": vote.reason,
                "conditions": list(vote.conditions),
                "for_run": vote.for_run,
                "hide": list(vote.hide),
                "sha256": vote.digest,
                "time": vote.time,
            }
        )
    return told


# ---- the output as tables


def _tables(
    partial: Partial, support: Support, finding: Finding, variables: Variables, threshold: int
) -> list[dict[str, Any]]:
    """Each table of cells with the persons behind it, then each array that stands alone."""
    tables, drawn = [], set()
    for cells in support.cells:
        names = [name for name in cells.output if name in partial.arrays and _fits(cells, partial.arrays[name])]
        if names:
            tables.append(_of_cells(cells, names, partial, finding, variables, threshold))
            drawn |= set(names)
    return [*tables, *(_alone(name, partial, finding) for name in sorted(set(partial.arrays) - drawn))]


def _of_cells(
    cells: Cells, names: Sequence[str], partial: Partial, finding: Finding, variables: Variables, threshold: int
) -> dict[str, Any]:
    counts = cells.counts()
    places = list(np.ndindex(cells.shape))[:MOST_SHOWN]
    named = cell_names(names[0], cells.shape)
    risky = np.zeros(cells.shape, dtype=bool)
    for name in names:
        mask = finding.risky.get(name)
        if mask is not None and mask.shape == cells.shape:
            risky |= mask
    rows = []
    for number, place in enumerate(places):
        persons = int(counts[place])
        hidden = [bool(_at(partial.hidden(name), place, cells.shape).any()) for name in names]
        near = not all(hidden) and 0 < persons < 2 * threshold
        why = "the rule's" if risky[place] else f"fewer than {2 * threshold} persons" if near else ""
        values = [
            HIDDEN if gone else _number(_at(partial.arrays[name], place, cells.shape))
            for name, gone in zip(names, hidden, strict=True)
        ]
        rows.append([named[number], *_labels(cells, place, variables), *values, persons, why])
    heads = ["cell", *(cells.dimensions or ("place",)), *names, "persons", "risky"]
    return {"heads": heads, "rows": rows, "left_out": max(0, len(named) - MOST_SHOWN)}


def _alone(name: str, partial: Partial, finding: Finding) -> dict[str, Any]:
    array, hidden = partial.arrays[name], partial.hidden(name)
    mask = finding.risky.get(name, np.zeros(array.shape, dtype=bool))
    rows = [
        [cell, HIDDEN if hidden.flat[place] else _number(array.flat[place]), "the rule's" if mask.flat[place] else ""]
        for place, cell in enumerate(cell_names(name, array.shape)[:MOST_SHOWN])
    ]
    return {"heads": ["cell", name, "risky"], "rows": rows, "left_out": max(0, array.size - MOST_SHOWN)}


def _fits(cells: Cells, array: NDArray[Any]) -> bool:
    try:
        spread(np.zeros(cells.shape, dtype=bool), array.shape)
    except ValueError:
        return False
    return True


def _at(array: NDArray[Any], place: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """The numbers of one cell: cells are an array's first axes, or its last."""
    if array.shape[: len(shape)] == shape:
        return np.asarray(array[place])
    trailing: Any = (..., *place)
    return np.asarray(array[trailing])


def _number(value: Any) -> Any:
    numbers = [number.item() for number in np.asarray(value).ravel()]
    return numbers[0] if len(numbers) == 1 else numbers


def _labels(cells: Cells, place: tuple[int, ...], variables: Variables) -> list[str]:
    if not cells.dimensions:
        return [",".join(map(str, place))]
    return [_label(name, at, variables) for name, at in zip(cells.dimensions, place, strict=True)]


def _label(name: str, at: int, variables: Variables) -> str:
    variable = variables.get(name)
    if variable is None or variable.kind is Kind.NUMBER:
        return str(at)
    return str(labels(variable)[at])


def _design(support: Support) -> dict[str, Any]:
    """What a model shows of its design, with the rarest levels first."""
    design = support.design
    if design is None:
        return {}
    levels = sorted((len(persons), label) for label, persons in design.levels.items())
    return {
        "persons": design.persons,
        "parameters": design.parameters,
        "events": design.events,
        "leverage": round(design.leverage, 6),
        **({} if design.clusters is None else {"clusters": design.clusters}),
        "rarest_levels": [{"level": label, "persons": persons} for persons, label in levels[:10]],
    }


# ---- what was released before


def before(airlock: Airlock, place: Place, partial: Partial, threshold: int) -> list[dict[str, Any]]:
    """Earlier releases on the same dataset, of this project or of the same kind of analysis; the newest first.

    close: how many numbers of the same place differ by 1 to T - 1, which is what a difference of two tables shows.
    """
    request, found = place.run.request, []
    statistic = place.run.plan.analyses[place.analysis]
    for row in airlock.reviews.released_before(place.run.dataset, request.study):
        run = _run(row, place.run.dataset)
        earlier = run.plan.analyses.get(row["analysis"]) if run is not None else None
        if earlier is None or (row["project"] != request.project and earlier.name != statistic.name):
            continue
        found.append(
            {
                "study": row["study"],
                "analysis": row["analysis"],
                "round": row["round"],
                "kind": earlier.name,
                "columns": list(earlier.variables()),
                "same_project": row["project"] == request.project,
                "same_snapshot": row["snapshot"] == place.run.snapshot,
                "tier": row["tier"],
                "made": row["made"],
                "close": _close(partial, row["answer"], threshold),
            }
        )
    return found[:MOST_BEFORE]


def _run(row: RowMapping, dataset: str) -> Run | None:
    try:
        return opened(json.dumps(json.loads(row["request"]), sort_keys=True), dataset, row["snapshot"])
    except Exception:  # a plan of an older version: it is left out of a comparison, which decides nothing
        return None


def _close(partial: Partial, answer: str | None, threshold: int) -> int | None:
    """How many shown numbers differ by 1 to T - 1; None where the two are not of one form."""
    if answer is None:
        return None
    earlier = Partial.from_dict(json.loads(answer)["release"]["partial"])
    pairs = list(_pairs(partial, earlier))
    if not pairs:
        return None
    apart = [np.abs(a.astype(float) - b.astype(float))[shown] for a, b, shown in pairs]
    return int(sum(((gap >= 1) & (gap < threshold)).sum() for gap in apart))


def _pairs(a: Partial, b: Partial) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
    for name in sorted(set(a.arrays) & set(b.arrays)):
        if a.arrays[name].shape == b.arrays[name].shape:
            yield a.arrays[name], b.arrays[name], ~(a.hidden(name) | b.hidden(name))

"""Differencing: what a further release would tell together with all that is known of a dataset.

Laws: every set that a release would make known is compared with everything released before it, over all projects,
researchers and snapshots of the dataset, and with the other sets of the same release. A hit is high risk. Only what the
release adds is blamed. Where the cells of a table make the hits, these cells are hidden, with their complements; where
others do and rows are counted up to given values, every second of these. Then everything is compared anew; what then
remains is a hit of the whole. Beyond the bounds of the search, and where something left of which nobody knows the sets,
nothing is vouched for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.support import Cells
from sojourn.disclosure.alike import Apart
from sojourn.disclosure.columns import few_apart, trees
from sojourn.disclosure.complement import complement
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import NUMBER, Charge, Mask, charges, digest, hidden_cells, hidden_in, runs
from sojourn.disclosure.output import Finding, Output, Tier, Verdict
from sojourn.disclosure.pairs import near
from sojourn.disclosure.rules import joined, refuse
from sojourn.disclosure.span import Span
from sojourn.disclosure.suppression import over, suppress, union
from sojourn.disclosure.trackers import TooMany, trackers

FAMILY = "differencing"
HOLD, PAIRS, REFUSE = "hold", "pairs", "refuse"
_TURNS = 8  # of hiding cells before the whole is a hit
_ENOUGH = 200  # hits that are told apart


@dataclass(frozen=True)
class Bounds:
    """What a site sets. threshold: T. span: the most ranks × atoms that are kept and searched. trackers: the most
    triples looked at where the span is beyond that. share: of independent numbers about a group, of its persons.
    beyond: `hold` what the search does not reach, or go by `pairs` and trackers alone. hit: `hold` or `refuse`.
    """

    threshold: int
    span: int = 50_000_000
    trackers: int = 4_000_000
    share: float = 0.2
    beyond: str = HOLD
    hit: str = HOLD


@dataclass(frozen=True)
class Surroundings:
    """What else is known when a release is judged. everybody: the persons of its snapshot where that number counts as
    known. changed: for each earlier snapshot the persons whose values differ now, None where nobody can say.
    unripe: the snapshot differs from one that was told of by fewer than T persons. alike: pairs of its columns that
    follow from each other for three quarters of the persons, or but for few, and for whom they do not.
    """

    everybody: BitMap | None = None
    changed: Mapping[str, BitMap | None] = field(default_factory=dict)
    unripe: bool = False
    alike: Mapping[tuple[str, str], Apart] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A set of few persons. why: for the custodian. blamed: places, in the sets that would be known, of those that make
    it; empty where any may be. persons: the few, where they are known."""

    why: str
    blamed: tuple[int, ...] = ()
    persons: BitMap | None = None


@dataclass(frozen=True)
class Judgement:
    """The finding, the entries that a release under it would add, and what would be known then."""

    finding: Finding
    charges: tuple[Charge, ...]
    known: Known


def control(
    output: Output,
    finding: Finding,
    known: Known,
    place: tuple[str, str],
    bounds: Bounds,
    around: Surroundings | None = None,
) -> Judgement:
    """Judge an analysis's first release. finding: of the other rules; it is never loosened. place: snapshot, analysis.

    The family, tier and cells of the result are those of all rules together.
    """
    around = around or Surroundings()
    if finding.verdict is Verdict.REFUSE:
        return Judgement(finding, (), known)
    if around.unripe:
        note = "this snapshot differs by too few persons from one that was told of"
        return _held(finding, known, bounds, note)
    if known.doubtful and bounds.beyond != PAIRS:
        return _held(finding, known, bounds, "something left, before a restore, of which the sets are not known")
    cells = finding.cells
    for _ in range(_TURNS):
        hidden = hidden_in(output.partial, output.support, cells)
        added = charges(*place, output.support, hidden)
        hits, later = find(known, known.plus(added), place[0], bounds, around)
        if not hits:
            return Judgement(_finding(finding, cells), added, later)
        tables = [mask for mask in hidden[: len(output.support.cells)] if mask is not None]
        more = _hide(output, tables, hits, later, bounds.threshold)
        if more is None:
            more = _coarser(output, hidden[len(tables) :])
        if more is None:
            break
        cells = union([cells, more])
    return _held(finding, known, bounds, "; ".join(sorted({hit.why for hit in hits[:5]})))


def find(
    known: Known, later: Known, snapshot: str, bounds: Bounds, around: Surroundings | None = None
) -> tuple[list[Hit], Known]:
    """What would be known of few persons and is not known yet; and `later`, with what follows where that was asked."""
    around = around or Surroundings()
    hits = list(_changes(known, later, snapshot, bounds.threshold, around))
    if fresh := later.fresh(known):
        hits += islice(_pairs(known, later, fresh, bounds.threshold), _ENOUGH)
        hits += _public(known, later, fresh, bounds.threshold, around.everybody)
        hits += _columns(known, later, fresh, bounds.threshold, around.alike)
        if not hits:
            known, later = known.followed(bounds.span), later.followed(bounds.span)
            if len(later.sets) > len(known.sets):
                hits = _followed(known, later, bounds, around.everybody)
            hits = hits or _columns_followed(known, later, bounds, around.alike)
    return hits[:_ENOUGH], later


def _pairs(known: Known, later: Known, fresh: list[int], threshold: int) -> Iterator[Hit]:
    for one in fresh:
        for other in near(later.sets, one, threshold):
            if words := later.newly(known, one, other):
                blamed = (one, other) if other >= len(known.sets) else (one,)
                yield Hit(f"two sets differ by few persons ({', '.join(sorted(words))})", blamed)


def _public(known: Known, later: Known, fresh: list[int], threshold: int, everybody: BitMap | None) -> Iterator[Hit]:
    """All but a few: the number of all is no secret. Of a set that is known already nothing new is told by that."""
    if everybody is None:
        return
    for place in fresh:
        persons = later.sets.persons[place]
        few = 0 < len(everybody) - len(persons) < threshold
        if place >= len(known.sets) and few and persons.issubset(everybody):
            yield Hit("a set is everybody but few persons", (place,))


def _columns(
    known: Known, later: Known, fresh: list[int], threshold: int, alike: Mapping[tuple[str, str], Apart]
) -> Iterator[Hit]:
    """Two columns over the same persons: the difference tells of those for whom one does not follow from the other."""
    for place in fresh:
        told = later.measures[place]
        before = known.measures[place] if place < len(known.sets) else frozenset()
        for pair, apart in alike.items():
            new = told.issuperset(pair) and not before.issuperset(pair)
            if new and apart.tell_few(later.sets.persons[place], threshold):
                yield Hit("two columns differ for few persons of a set", (place,))
                break


def _changes(known: Known, later: Known, snapshot: str, threshold: int, around: Surroundings) -> Iterator[Hit]:
    """The same persons in another snapshot: the difference tells of those whose values changed in between."""
    for place in range(len(known.sets)):
        before = known.snapshots[place], known.measures[place]
        if (later.snapshots[place], later.measures[place]) == before or later.measures[place] == {NUMBER}:
            continue
        for earlier in later.snapshots[place] - {snapshot}:
            changed = around.changed.get(earlier)
            if changed is None or 0 < len(changed & later.sets.persons[place]) < threshold:
                yield Hit("values of few persons changed since the same set was told of", (place,))
                break


def _followed(known: Known, later: Known, bounds: Bounds, everybody: BitMap | None) -> list[Hit]:
    """What follows from many sets together, and from the number of all where that is known."""
    if (spans := _spans(known, later, bounds, everybody)) is not None:
        before, after = spans
        if (few := after.small(before)) is not None:
            hits = [Hit("a small set follows from several", persons=persons) for persons in few]
            crowds = after.crowded(before, bounds.share)
            return hits or [Hit("too much is known of a group of persons", persons=persons) for persons in crowds]
    if bounds.beyond != PAIRS:
        return [Hit("more is known than is searched")]
    sets = later.sets if everybody is None else later.sets.plus([everybody])
    fresh = list(range(len(known.sets), len(later.sets)))
    try:
        found = trackers(sets, fresh, bounds.threshold, bounds.trackers)
        return [Hit("three sets tell of few persons", places, persons) for places, persons in islice(found, _ENOUGH)]
    except TooMany:
        return [Hit("more is known than is searched")]


def _spans(known: Known, later: Known, bounds: Bounds, everybody: BitMap | None) -> tuple[Span, Span] | None:
    """What follows before and after; None beyond the bound."""
    if everybody is None or digest(everybody) in known.places:
        before, after = known.span, later.span
    else:
        before = known.span and known.span.plus([everybody], bounds.span)
        after = later.span and later.span.plus([everybody], bounds.span)
    return None if before is None or after is None else (before, after)


def _columns_followed(known: Known, later: Known, bounds: Bounds, alike: Mapping[tuple[str, str], Apart]) -> list[Hit]:
    """What follows by columns that are alike over several sets, none of which tells of few by itself."""
    for tree in trees(alike):
        few = few_apart(known, later, tree, bounds.threshold, bounds.span, bounds.share)
        if few is None and bounds.beyond != PAIRS:
            return [Hit("more is known than is searched")]
        if few:
            return [Hit("two columns over several sets tell of few persons", persons=persons) for persons in few]
    return []


# ---- hiding


def _hide(
    output: Output, hidden: Sequence[Mask], hits: Sequence[Hit], later: Known, threshold: int
) -> dict[str, Mask] | None:
    """The cells that make the hits, with their complements, as masks of the arrays; None where others make them too."""
    chosen = [np.zeros(cells.shape, dtype=bool) for cells in output.support.cells]
    for hit in hits:
        sets = [later.sets.persons[place] for place in hit.blamed]
        found = False
        for cells, mask, more in zip(output.support.cells, hidden, chosen, strict=True):
            if cells.dimensions and cells.output and mask.size > 1:
                places = _to_blame(cells, mask, sets, hit.persons)
                more.flat[places] = True
                found |= bool(places)
        if not found:
            return None
    return union(
        over(output, cells.output, complement(cells, mask | more, threshold))
        for cells, mask, more in zip(output.support.cells, hidden, chosen, strict=True)
        if more.any()
    )


def _coarser(output: Output, hidden: Sequence[Mask | None]) -> dict[str, Mask] | None:
    """Every second of the values hidden up to which rows are counted; None where there is no such value."""
    masks = {}
    for one, mask in zip(output.support.thresholds, hidden, strict=True):
        if mask is None or mask.all():
            continue
        lines = mask.reshape(-1, mask.shape[-2]).copy()
        for line in lines:
            line[np.flatnonzero(~line)[::2]] = True
        masks[one.output] = lines.reshape(mask.shape)
    return masks or None


def _to_blame(cells: Cells, hidden: Mask, sets: Sequence[BitMap], few: BitMap | None) -> list[int]:
    """The shown cells of one table to hide for a hit.

    A cell that is one of the sets goes; of sets that cells make up together the smallest such cell; where the sets are
    not told, the cells that the few persons stand in.
    """
    shown = [place for place in np.flatnonzero(~hidden).tolist() if cells.persons[place]]
    if not sets:
        return [place for place in shown if few is not None and cells.persons[place].intersect(few)]
    places = [place for place in shown if any(cells.persons[place] == one for one in sets)]
    if places:
        return places
    for one in sets:
        parts = [place for place in shown if cells.persons[place].issubset(one)]
        if parts and BitMap.union(BitMap(), *(cells.persons[place] for place in parts)) == one:
            return [min(parts, key=lambda place: len(cells.persons[place]))]
        rest = BitMap.union(BitMap(), *(cells.persons[place] for place in np.flatnonzero(hidden).tolist()))
        if shown and rest == one:
            return [min(shown, key=lambda place: len(cells.persons[place]))]
    return []


def _finding(finding: Finding, cells: Mapping[str, Mask]) -> Finding:
    """The finding with the cells that this control hides too."""
    if cells is finding.cells:
        return finding
    return joined((finding, suppress(FAMILY, cells)))


def _held(finding: Finding, known: Known, bounds: Bounds, note: str) -> Judgement:
    """Nothing is released by itself, and nothing charged."""
    if bounds.hit == REFUSE:
        return Judgement(refuse(FAMILY, note), (), known)
    high = replace(finding, family=FAMILY, tier=Tier.HIGH, note="; ".join(filter(None, (finding.note, note))))
    return Judgement(high, (), known)


# ---- later rounds


def kept(output: Output, finding: Finding, charged: frozenset[str]) -> Finding:
    """A later round shows only what the first one made known: cells that are not charged are hidden again.

    charged: digests of the analysis's entries.
    """
    if finding.verdict is Verdict.REFUSE:
        return finding
    if digest(output.support.population) not in charged:
        return refuse(FAMILY, "the population is not the one that was charged")
    masks = []
    for cells in output.support.cells:
        hidden = hidden_cells(output.partial, cells, finding.cells)
        strange = [
            bool(persons) and not gone and digest(persons) not in charged
            for persons, gone in zip(cells.persons, hidden.flat, strict=True)
        ]
        if any(strange):
            masks.append(over(output, cells.output, hidden | np.reshape(strange, cells.shape)))
    ranges = hidden_in(output.partial, output.support, finding.cells)[len(output.support.cells) :]
    for one, mask in zip(output.support.thresholds, ranges, strict=True):
        if one.output in output.partial.arrays and any(digest(run) not in charged for *_, run in runs(one, mask)):
            return refuse(FAMILY, "a count up to a value that was not charged")
    return joined((finding, suppress(FAMILY, union(masks))))

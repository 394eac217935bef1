"""What a node remembers of masked sums: this site's part of the sets of persons that they made known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap
from sqlalchemy import Connection, Select, exists, func, insert, not_, select
from sqlalchemy.engine import RowMapping

from sojourn.analysis.support import Support
from sojourn.disclosure.joint import Values
from sojourn.disclosure.joint_beside import beside_unions
from sojourn.disclosure.joint_questions import Told
from sojourn.disclosure.ledger import charges, digest
from sojourn.disclosure.output import Finding
from sojourn.disclosure.rules import refuse
from sojourn.errors import DisclosureRefused, SojournError
from sojourn.node.admission import Run, opened
from sojourn.node.store import NodeStore
from sojourn.node.tables import ledger, masked_sets, person_sets, releases, runs
from sojourn.study.remembered import Remembered

SUMMING = frozenset({"dominance", "p percent", "design support", "correlation", "risk sets"})
_OF_LEDGER = (ledger.c.study, ledger.c.analysis, ledger.c.measure)
TESTED = 600.0  # seconds from its terms in which a joint test comes before those of higher ids
# Dataset, snapshot, another one, columns → persons whose values differ.
Changes = Callable[[str, str, str, tuple[str, ...]], BitMap | None]


@dataclass(frozen=True)
class MaskedStore:
    """The table of masked sums behind its own words, over the node's one store."""

    store: NodeStore

    def remembered(self, run: Run) -> list[Remembered]:
        """Earlier masked releases over the same circle and dataset: the hash of each one's name, labels of its sets."""
        assert run.circle is not None
        query = (
            select(masked_sets.c.study, masked_sets.c.analysis, masked_sets.c.label)
            .where(masked_sets.c.dataset == run.dataset, masked_sets.c.roster == run.circle.members)
            .where(masked_sets.c.study != run.request.study)
            .order_by(masked_sets.c.id)
        )
        found: dict[tuple[str, str], list[str]] = {}
        for row in self.store.rows(query):
            found.setdefault((row["study"], row["analysis"]), []).append(row["label"])
        return sorted((name_of(*release), tuple(labels)) for release, labels in found.items())

    def told(self, run: Run, name: str, labels: tuple[str, ...], changes: Changes) -> Told:
        """This site's part of what an earlier release made known; `name` as in `remembered`."""
        named = (masked_sets.c.study, masked_sets.c.analysis, masked_sets.c.label)
        told = (*named, masked_sets.c.snapshot, masked_sets.c.measure)
        query = (
            select(*told, person_sets.c.persons)
            .join_from(masked_sets, person_sets, masked_sets.c.digest == person_sets.c.digest)
            .where(masked_sets.c.dataset == run.dataset)
            .order_by(masked_sets.c.id)
        )
        rows = [row for row in self.store.rows(query) if name_of(row["study"], row["analysis"]) == name]
        if tuple(row["label"] for row in rows) != labels:
            rows = []  # it is not as this site remembers it
        sets, changed = tuple(BitMap.deserialize(row["persons"]) for row in rows), BitMap()
        measured = tuple(json.loads(rows[0]["measure"])) if rows else ()
        if others := _others({row["snapshot"] for row in rows}, run):
            found = [changes(run.dataset, snapshot, run.snapshot, measured) for snapshot in others]
            changed = BitMap.union(*(persons for persons in found if persons is not None))
        return Told(name, labels, sets, changed, measured)

    def forgotten(self, run: Run, changes: Changes) -> bool:
        """Whether the dataset was summed over these sites on a snapshot of which nobody can say what changed since."""
        assert run.circle is not None
        same = (masked_sets.c.dataset == run.dataset, masked_sets.c.roster == run.circle.members)
        rows = self.store.rows(select(masked_sets.c.snapshot).where(*same).distinct())
        snapshots = {row["snapshot"] for row in rows}
        told = select(ledger.c.snapshot, *_OF_LEDGER).where(ledger.c.snapshot != run.snapshot).distinct()
        snapshots |= {row["snapshot"] for row in self._clear_sums(run, run.plan.names, told)}
        return any(changes(run.dataset, snapshot, run.snapshot, ()) is None for snapshot in _others(snapshots, run))

    def values_in_clear(self, run: Run, columns: Sequence[str], changes: Changes) -> Values:
        """Of which sets clear releases told a column's sum, and whose value in it is another one now.

        DisclosureRefused where nobody can say what changed.
        """
        found: dict[str, list[tuple[BitMap, BitMap]]] = {}
        told = select(ledger.c.snapshot, *_OF_LEDGER, person_sets.c.persons).join_from(
            ledger, person_sets, ledger.c.digest == person_sets.c.digest
        )
        for row in self._clear_sums(run, columns, told) if columns else ():
            for column in sorted(set(json.loads(row["measure"])) & set(columns)):
                others = _others({row["snapshot"]}, run)
                other = changes(run.dataset, row["snapshot"], run.snapshot, (column,)) if others else BitMap()
                if other is None:
                    raise DisclosureRefused("differencing")
                found.setdefault(column, []).append((BitMap.deserialize(row["persons"]), other))
        return found

    def _clear_sums(self, run: Run, columns: Sequence[str], query: Select[Any]) -> list[RowMapping]:
        """The entries of the ledger of clear releases that told sums of one of these columns."""
        rows = self.store.rows(query.where(ledger.c.dataset == run.dataset))
        told = {place: self._sums(*place) for place in {(row["study"], row["analysis"]) for row in rows}}
        return [
            row
            for row in rows
            if told[row["study"], row["analysis"]] and set(json.loads(row["measure"])) & set(columns)
        ]

    def _sums(self, study: str, analysis: str) -> bool:
        """Whether an analysis told sums of values, and not counts alone; of one that nobody knows any more, it did."""
        row = self.store.run(study)
        try:
            plan = None if row is None else opened(row["request"], row["dataset"], row["snapshot"]).plan
        except SojournError:
            return True
        statistic = None if plan is None else plan.analyses.get(analysis)
        return statistic is None or bool(SUMMING & set(statistic.rules))

    def charged(self, study: str, analysis: str) -> bool:
        """Whether an analysis stands here already."""
        same = (masked_sets.c.study == study, masked_sets.c.analysis == analysis)
        return self.store.row(select(masked_sets.c.id).where(*same).limit(1)) is not None

    def other_rosters(self, run: Run) -> bool:
        """Whether the dataset was summed over other sites before: two such sums differ by the sites' own parts."""
        assert run.circle is not None
        others = (masked_sets.c.dataset == run.dataset, masked_sets.c.roster != run.circle.members)
        return self.store.row(select(masked_sets.c.id).where(*others).limit(1)) is not None

    def rosters(self, run: Run) -> int:
        """How many sets of a dataset stand here over whatever sites, by all studies."""
        row = self.store.row(select(func.count().label("sets")).where(masked_sets.c.dataset == run.dataset))
        return 0 if row is None else int(row["sets"])

    def newest(self, dataset: str) -> int:
        """The newest entry of a dataset's ledger of clear releases."""
        row = self.store.row(select(func.max(ledger.c.id).label("newest")).where(ledger.c.dataset == dataset))
        return 0 if row is None or row["newest"] is None else int(row["newest"])

    def newest_sum(self, run: Run) -> int:
        """The newest masked release of the dataset by another study, over whatever sites, that was not vetoed here."""
        others = (masked_sets.c.dataset == run.dataset, masked_sets.c.study != run.request.study)
        there = (*others, not_(masked_sets.c.vetoed))
        row = self.store.row(select(func.max(masked_sets.c.id).label("newest")).where(*there))
        return 0 if row is None or row["newest"] is None else int(row["newest"])

    def outranked(self, run: Run, now: float) -> bool:
        """Whether a study of a lower id is being tested here over the same sites, so that its sum comes first.

        Every site knows ids alike, so that of two the same one wins everywhere. One that was given up, or whose test
        failed, is over when the hub says so, or after `TESTED` seconds.
        """
        own = self.store.run(run.request.study)
        if own is None or not own["exchange"]:
            return False
        summed = (masked_sets.c.study == releases.c.study, masked_sets.c.analysis == releases.c.analysis)
        query = (
            select(runs.c.exchange)
            .join_from(runs, releases, runs.c.study == releases.c.study)
            .where(runs.c.dataset == run.dataset, runs.c.ended == "", runs.c.study < run.request.study)
            .where(releases.c.round == 1, releases.c.reason == "", releases.c.made >= now - TESTED)
            .where(runs.c.exchange == own["exchange"], not_(exists().where(*summed)))
            .limit(1)
        )
        return self.store.row(query) is not None

    def newest_when(self, study: str, analysis: str, ask: str) -> int:
        """What was the newest when this site answered an ask of the joint test; -1, which nothing is, if it did not."""
        same = (releases.c.study == study, releases.c.analysis == analysis, releases.c.ask == ask)
        row = self.store.row(select(releases.c.newest).where(*same))
        return -1 if row is None or row["newest"] is None else int(row["newest"])

    def parts(self, dataset: str) -> list[BitMap]:
        """This site's parts of all masked sums of a dataset, each set once; empty ones left out."""
        return self._sets(
            select(person_sets.c.persons)
            .join(masked_sets, masked_sets.c.digest == person_sets.c.digest)
            .where(masked_sets.c.dataset == dataset)
            .distinct()
        )

    def shown_in_clear(self, dataset: str) -> list[BitMap]:
        """The sets that this site made known by clear releases of a dataset."""
        return self._sets(
            select(person_sets.c.persons)
            .join(ledger, ledger.c.digest == person_sets.c.digest)
            .where(ledger.c.dataset == dataset)
            .distinct()
        )

    def _sets(self, query: object) -> list[BitMap]:
        found = [BitMap.deserialize(bytes(row["persons"])) for row in self.store.rows(query)]
        return [persons for persons in found if persons]


def summed_before(store: NodeStore, dataset: str, support: Support, threshold: int) -> tuple[Finding, ...]:
    """A refusal where masked sums rest on the same persons, or nearly: shown in clear, they would leave the other
    sites' parts with less to hide behind.
    """
    masked = MaskedStore(store)
    parts, sets = masked.parts(dataset), [one.persons for one in charges("", "", support)]
    if not parts:
        return ()
    if not near_to(parts, sets, threshold) and not adds_up(parts, sets, masked.shown_in_clear(dataset), threshold):
        return ()
    return (refuse("differencing", "these persons were summed under masks with those of other sites"),)


def near_to(parts: Sequence[BitMap], sets: Sequence[BitMap], threshold: int) -> bool:
    """Whether one of these sets is one of the parts, or differs from it by few: see `disclosure.pairs`."""
    return any(
        part.difference_cardinality(persons) < threshold and persons.difference_cardinality(part) < threshold
        for part in parts
        for persons in sets
        if abs(len(part) - len(persons)) < threshold
    )


def adds_up(parts: Sequence[BitMap], sets: Sequence[BitMap], clear: Sequence[BitMap], threshold: int) -> bool:
    """Whether unions of these sets and of those shown before leave few of one of the parts, and fewer than before."""
    before = [(persons, BitMap()) for persons in clear]
    after = before + [(persons, BitMap()) for persons in sets]
    return any(beside_unions(part, after) < min(threshold, beside_unions(part, before)) for part in parts)


def _others(snapshots: set[str], run: Run) -> set[str]:
    """The snapshots whose values can differ from a run's; a site that takes part with nothing has none."""
    return snapshots - {run.snapshot, ""} if run.snapshot else set()


def charge(run: Run, analysis: str, told: Told, vetoed: bool) -> Callable[[Connection], None]:
    """What writes a masked release into the table, in the release's own transaction."""
    assert run.circle is not None
    roster = run.circle.members

    def action(connection: Connection) -> None:
        sets = {digest(persons): persons for persons in told.persons}
        known = connection.execute(select(person_sets.c.digest).where(person_sets.c.digest.in_(sets))).scalars().all()
        if fresh := set(sets) - set(known):
            rows = [{"digest": name, "persons": sets[name].serialize()} for name in sorted(fresh)]
            connection.execute(insert(person_sets), rows)
        made = [{**row, "vetoed": vetoed} for row in _rows(run, analysis, told, roster)]
        connection.execute(insert(masked_sets), made)

    return action


def _rows(run: Run, analysis: str, told: Told, roster: str) -> Sequence[dict[str, object]]:
    measure = json.dumps(list(run.plan.analyses[analysis].variables()))
    return [
        {
            **{"dataset": run.dataset, "study": run.request.study, "analysis": analysis, "roster": roster},
            **{"snapshot": run.snapshot, "measure": measure, "label": label, "digest": digest(persons)},
        }
        for label, persons in zip(told.labels, told.persons, strict=True)
    ]


def name_of(study: str, analysis: str) -> str:
    """Names a masked release to those who took part in it, and tells others nothing."""
    return hashlib.sha256(f"sojourn-masked-release-v1\n{study}\n{analysis}".encode()).hexdigest()

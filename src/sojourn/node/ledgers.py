"""The ledgers of a node in memory, one a dataset: read from the store at first use, and grown by each release.

Law: from the judgement of a first release to its commit one lock is held for its dataset, and the commit itself
verifies that the stored ledger has not grown since; so of two releases that tell of few persons together the second is
judged knowing the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from sojourn.disclosure.alike import Apart
from sojourn.disclosure.columns import Pair
from sojourn.disclosure.differencing import Bounds, Judgement, Surroundings, control
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import charges
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.pairs import nearest
from sojourn.disclosure.span import Span
from sojourn.errors import SojournError
from sojourn.node.admission import Run
from sojourn.node.dataset import is_kept
from sojourn.node.extract import changed_persons, columns_apart, everyone
from sojourn.node.store import LedgerGrew, NodeStore

_MOST_TURNS = 5
_SHOWN = 10  # neighbours that a checker sees
_DATASETS = 32  # ledgers that stay in memory
_KEPT = 8  # snapshots whose persons are remembered
_COMPARED = 64  # pairs of snapshots, and columns, whose changes are
_PAIRED = 512  # snapshots whose columns are compared

Seal = Callable[[Judgement, int], int]  # judgement, newest entry that it knew of → newest entry now


class Ledgers:
    """What was released of each dataset. folder: the node's home, where the snapshots are."""

    def __init__(self, store: NodeStore, folder: Path) -> None:
        self._store = store
        self._known: dict[str, tuple[Known, int]] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._making = threading.Lock()
        self._everyone = lru_cache(_KEPT)(lambda dataset, snapshot: everyone(folder, dataset, snapshot))
        self._is_kept = partial(is_kept, folder)
        self._apart = lru_cache(_PAIRED)(lambda *place: columns_apart(folder, *place))
        self._changed = lru_cache(_COMPARED)(lambda *place: changed_persons(folder, *place))

    def lock(self, dataset: str) -> AbstractContextManager[object]:
        """Held from a judgement to its commit."""
        with self._making:
            return self._locks.setdefault(dataset, threading.RLock())

    def release(self, run: Run, analysis: str, output: Output, finding: Finding, bounds: Bounds, seal: Seal) -> None:
        """Judge an analysis's first release and let `seal` store what is decided, with its entries."""
        with self.lock(run.dataset):
            for _ in range(_MOST_TURNS):
                newest = self.known(run.dataset, bounds)[1]
                judgement = self.judge(run, analysis, output, finding, bounds)
                try:
                    after = seal(judgement, newest)
                except LedgerGrew:
                    continue
                if judgement.charges:
                    self._known[run.dataset] = (judgement.known, after)
                return
        raise LedgerGrew

    def judge(self, run: Run, analysis: str, output: Output, finding: Finding, bounds: Bounds) -> Judgement:
        """What the ledger says now of an analysis's first release."""
        known, _ = self.known(run.dataset, bounds)
        around = self._around(run, known, bounds.threshold)
        return control(output, finding, known, (run.snapshot, analysis), bounds, around)

    def neighbours(self, run: Run, output: Output, bounds: Bounds) -> list[dict[str, Any]]:
        """The known sets that differ least from those of an output, nearest first: for people inside the site alone."""
        known, _ = self.known(run.dataset, bounds)
        return nearest(known, charges(run.snapshot, "", output.support), _SHOWN)

    def known(self, dataset: str, bounds: Bounds) -> tuple[Known, int]:
        """All that is known of a dataset, and the newest entry of its ledger."""
        known, newest = self._known.get(dataset) or (Known(span=Span(bounds.threshold)), 0)
        newest, entries = self._store.ledger_after(dataset, newest)
        known = known.plus(entries).followed(bounds.span)
        self._known[dataset] = (known, newest)
        for other in [name for name in self._known if name != dataset][: len(self._known) - _DATASETS]:
            self._known.pop(other, None)  # each rehearsal has a ledger of its own; it is read again where it is asked
        return known, newest

    def _around(self, run: Run, known: Known, threshold: int) -> Surroundings:
        """Everybody counts as known where the plan selects among them. A snapshot that is gone tells nothing."""
        earlier = frozenset().union(*known.snapshots) - {run.snapshot}
        everybody = self._persons(run.dataset, run.snapshot) if earlier or run.plan.where else None
        changed, unripe = {}, False
        for snapshot in earlier:
            changed[snapshot] = self.changes(run.dataset, snapshot, run.snapshot)
            before = self._persons(run.dataset, snapshot)
            if before is not None and everybody is not None:
                apart = (before.difference_cardinality(everybody), everybody.difference_cardinality(before))
                unripe |= any(0 < size < threshold for size in apart)
        # Stand-ins tell of nobody; of all others, where it cannot be said, nothing is judged.
        alike = {} if run.request.rehearsal else self._alike(run, earlier, threshold)
        return Surroundings(everybody if run.plan.where else None, changed, unripe, alike)

    def _alike(self, run: Run, earlier: frozenset[str], threshold: int) -> dict[Pair, Apart]:
        """The pairs of columns that are alike in any snapshot that was told of, and in this one.

        One that is gone tells nothing; one that is there and cannot be read is an error, and nothing is judged.
        """
        found: dict[Pair, Apart] = {}
        for snapshot in (run.snapshot, *sorted(earlier)):
            if snapshot == run.snapshot or self._is_kept(run.dataset, snapshot):
                for (one, other), apart in self._apart(run.dataset, snapshot, threshold).items():
                    pair = (min(one, other), max(one, other))
                    found[pair] = apart.joined(found.get(pair))
        return found

    def _persons(self, dataset: str, snapshot: str) -> BitMap | None:
        try:
            return self._everyone(dataset, snapshot)
        except SojournError:
            return None

    def changes(self, dataset: str, one: str, other: str, among: tuple[str, ...] = ()) -> BitMap | None:
        """The persons of two snapshots whose values differ, in these columns; None where one of them is gone."""
        try:
            return self._changed(dataset, one, other, among)
        except SojournError:
            return None

"""Linked tables: several tables of the same persons, audited together.

A table's audit already knows every total that the product would release of the same persons, so a count and a
crosstab of it cannot betray each other. Two tables that share only some dimensions are linked through a total that
neither shows: here all their cells and totals are one system, a total that two tables have in common is one number
of it, and the audit of `intervals` runs over all. It is exact for tables that overlap like links of a chain; that three
tables must come from one table of more dimensions can tell more, and is not asked.

A node that judges an analysis hands in the tables that left before, of the same run and of others, with their masks:
those stay as they are, and only the new tables lose more cells. Tables are linked where they are of the same persons of
one snapshot, share a dimension with the same levels, and each person stands in one cell; elsewhere totals are no sums
of cells. Of many such tables the nearest are audited, at most `MOST_TABLES` with `MOST_CELLS` cells in all: those that
share more dimensions first, of these the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Partial
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.variable import SITE
from sojourn.disclosure.complement import Counts, Mask, margins, relations, with_sums
from sojourn.disclosure.intervals import Audit, System, Unprotected
from sojourn.disclosure.ledger import hidden_cells
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.suppression import over, suppress, union

FAMILY = "minimum frequency"
MOST_TABLES = 12  # that left before
MOST_CELLS = 2_000  # of all these and the new ones
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
Key = frozenset[tuple[str, int]]  # the level of each dimension that a number is broken down by


@dataclass(frozen=True, eq=False)
class Table:
    """One table of persons, its mask, and whether it was released before. known: structural zeros."""

    dimensions: tuple[str, ...]
    counts: Counts
    hidden: Mask
    known: Mask
    settled: bool = False

    @classmethod
    def of(cls, cells: Cells, hidden: Mask, settled: bool = False) -> Table:
        """From the evidence of an output. ValueError where its axes are not named, or `site` is one of them."""
        if len(cells.dimensions) != len(cells.shape) or SITE in cells.dimensions:
            raise ValueError("a linked table has named dimensions, without the site")
        return cls(cells.dimensions, cells.counts(), hidden, cells.structural(), settled)

    def called(self, names: Mapping[str, str]) -> Table:
        """The same under names of dimensions that tell apart what has other levels."""
        return replace(self, dimensions=tuple(names.get(name, name) for name in self.dimensions))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, for the node's store: it holds counts that are hidden, and stays inside the site."""
        return {
            "dimensions": list(self.dimensions),
            "counts": self.counts.tolist(),
            "hidden": self.hidden.tolist(),
            "known": self.known.tolist(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Table:
        """Read `to_dict`'s form as a table that was released before."""
        counts = np.array(document["counts"], dtype=np.int64)
        hidden, known = (np.array(document[word], dtype=bool) for word in ("hidden", "known"))
        return cls(tuple(document["dimensions"]), counts, hidden, known, settled=True)


def linked(tables: Sequence[Table], threshold: int, zero_shown: bool = False) -> tuple[Mask, ...]:
    """The tables' masks, those of the new ones with what else must be hidden; each contains the mask given.

    ValueError where the tables disagree on a total: they are not of the same persons.
    """
    numbers = _Numbers()
    for table in tables:
        numbers.add(table, threshold, zero_shown)
    audit = numbers.audit(threshold, zero_shown)
    try:
        hidden = audit.complete()
    except Unprotected:
        hidden = audit.hidden | audit.system.hideable
    return tuple(
        table.hidden if table.settled else table.hidden | hidden[place].reshape(table.counts.shape)
        for table, place in zip(tables, numbers.places, strict=True)
    )


def tables_of(support: Support, partial: Partial, masks: Mapping[str, Mask]) -> list[tuple[Cells, Table]]:
    """The tables of an output in which each person stands in one cell, as far as its numbers and masks show them."""
    persons = len(support.population)
    found = [cells for cells in support.cells if _is_table(cells, persons)]
    return [(cells, Table.of(cells, hidden_cells(partial, cells, masks))) for cells in found]


def beside(
    output: Output,
    finding: Finding,
    earlier: Iterable[Table],
    threshold: int,
    zero_shown: bool,
    names: Mapping[str, str] = _NO_NAMES,
) -> Finding | None:
    """What else must be hidden of this output beside what left of the same persons; None where no table is linked.

    earlier: the newest first, under the names of `Table.called`. names: those of this output's dimensions.
    """
    own = tables_of(output.support, output.partial, finding.cells)
    tables = [table.called(names) for _, table in own]
    settled = _nearest(earlier, tables)
    if not settled or not any(table.hidden.any() for table in (*settled, *tables)):
        return None
    masks = linked((*settled, *tables), threshold, zero_shown)[len(settled) :]
    more = union(over(output, cells.output, mask) for (cells, _), mask in zip(own, masks, strict=True))
    return suppress(FAMILY, more, note="beside another table" if more else "")


def _nearest(earlier: Iterable[Table], tables: Sequence[Table]) -> list[Table]:
    """The tables that left before to be audited with new ones: each once, and within the bounds."""

    def shared(one: Table) -> int:
        return max((len(set(one.dimensions) & set(new.dimensions)) for new in tables), default=0)

    once = {(one.dimensions, one.counts.shape, one.hidden.tobytes()): one for one in reversed(list(earlier))}
    near = sorted((one for one in reversed(list(once.values())) if shared(one)), key=lambda one: -shared(one))
    left = MOST_CELLS - sum(new.counts.size for new in tables)
    chosen: list[Table] = []
    for one in near:
        if len(chosen) < MOST_TABLES and one.counts.size <= left:
            chosen.append(one)
            left -= one.counts.size
    return chosen


def _is_table(cells: Cells, persons: int) -> bool:
    named = bool(cells.dimensions) and len(cells.dimensions) == len(cells.shape)
    return named and SITE not in cells.dimensions and int(cells.counts().sum()) == persons


@dataclass(eq=False)
class _Numbers:
    """All cells and totals of some tables, each once."""

    index: dict[Key, int] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    fixed: set[int] = field(default_factory=set)
    protected: set[int] = field(default_factory=set)
    hideable: set[int] = field(default_factory=set)
    lines: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    places: list[NDArray[np.int64]] = field(default_factory=list)  # of each table's cells, C order

    def add(self, table: Table, threshold: int, zero_shown: bool) -> None:
        whole = with_sums(table.counts)
        numbers = np.array([self._number(key, n) for key, n in _keys(table.dimensions, whole)]).reshape(whole.shape)
        cells = numbers[(slice(None, -1),) * whole.ndim]
        self.places.append(cells.ravel())
        here = set(cells.ravel().tolist())
        self.shown |= set(cells[~table.hidden].tolist())
        (self.fixed if table.settled else self.hideable).update(here - set(cells[table.known].tolist()))
        self.protected |= set(cells[table.hidden & ~table.known].tolist())
        for axes, mask in margins(table.counts, table.known, threshold, zero_shown).items():
            part = numbers[tuple(-1 if axis in axes else slice(None, -1) for axis in range(whole.ndim))]
            told = set(part[~mask].tolist())
            self.shown |= told
            self.fixed |= told
        everyone = int(numbers[(-1,) * whole.ndim])
        self.fixed.add(everyone)
        if table.counts.sum() >= threshold:
            self.shown.add(everyone)
        matrix = relations(whole.shape)
        flat = numbers.ravel()
        for row in range(matrix.shape[0]):
            entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
            self.lines.append((flat[matrix.indices[entries]], matrix.data[entries]))

    def _number(self, key: Key, count: int) -> int:
        place = self.index.setdefault(key, len(self.counts))
        if place == len(self.counts):
            self.counts.append(count)
        elif self.counts[place] != count:
            raise ValueError("the tables are not of the same persons")
        return place

    def audit(self, threshold: int, zero_shown: bool) -> Audit:
        from scipy.sparse import coo_array

        counts = np.array(self.counts, dtype=np.int64)
        row = np.repeat(np.arange(len(self.lines)), [len(places) for places, _ in self.lines])
        column = np.concatenate([places for places, _ in self.lines])
        sign = np.concatenate([signs for _, signs in self.lines])
        matrix = coo_array((sign, (row, column)), shape=(len(self.lines), len(counts))).tocsr()

        def mask(places: set[int]) -> Mask:
            chosen = np.zeros(len(counts), dtype=bool)
            chosen[sorted(places)] = True
            return chosen

        hideable = mask(self.hideable - self.fixed)
        low = np.where(counts > 0, int(zero_shown), 0)
        system = System(counts, matrix, hideable, low, mask(self.protected | self.hideable))
        return Audit(system, ~mask(self.shown), threshold - zero_shown)


def _keys(dimensions: tuple[str, ...], whole: Counts) -> Iterator[tuple[Key, int]]:
    for place in np.ndindex(whole.shape):
        levels = zip(dimensions, place, whole.shape, strict=True)
        yield frozenset((name, i) for name, i, size in levels if i < size - 1), int(whole[place])

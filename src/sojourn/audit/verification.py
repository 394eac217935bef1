"""The full local verification of a log: everything is hashed again from the raw entries.

Law: an alteration of entries, stored hashes or checkpoints by someone without the log's key is found here. Whoever has
the key, or an old copy of the whole log, can pass: only a witness, who remembers a later checkpoint, finds that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from sojourn.audit import checkpoint as checkpoints
from sojourn.audit.checkpoint import Checkpoint
from sojourn.audit.receipt import decode, sequences
from sojourn.audit.tree import Hashes, above, append, graft, leaf_hash, leaf_hashes, root
from sojourn.errors import AuditError
from sojourn.identity.keys import PublicKey

PROBLEMS_MAX = 100
_TOGETHER, _HELD = 64, 4096  # checkpoints that one thread proves at a time, and that are in memory as text
T = TypeVar("T")
Each = Callable[[Callable[[list[str]], list[Any]], Iterable[list[str]]], Iterable[list[Any]]]


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words, and at which entry (from 0); None where it concerns the whole log."""

    position: int | None
    what: str


@dataclass(frozen=True)
class Report:
    """What was read and every problem found; of more than 100 problems the first 100, and how many there were."""

    entries: int
    checkpoints: int
    problems: tuple[Problem, ...]
    found: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0


class _Problems:
    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.found = 0

    def add(self, position: int | None, what: str) -> None:
        self.found += 1
        if len(self.kept) < PROBLEMS_MAX:
            self.kept.append(Problem(position, what))


class StoredHashes(Hashes, Protocol):
    """Hashes that can be read by the row."""

    def several(self, level: int, first: int, count: int) -> list[bytes]:
        """The stored hashes of a level from place `first` on, at most `count` of them, in order; gaps are left out."""
        ...


class _Rebuilt:
    """Hashes made again from the raw entries, each compared with the stored one; holds only peaks and one block."""

    def __init__(self, stored: StoredHashes, problems: _Problems) -> None:
        self._stored = stored
        self._problems = problems
        self._peaks: dict[tuple[int, int], bytes] = {}
        self._first = 0
        self._block: list[list[bytes]] = []  # of the block from leaf `_first` on, level by level

    def get(self, level: int, index: int) -> bytes:
        place = index - (self._first >> level)
        if level < len(self._block) and 0 <= place < len(self._block[level]):
            return self._block[level][place]
        return self._peaks[level, index]

    def extend(self, first: int, entries: list[bytes], roots: _Roots) -> bool:
        """Add a block of entries, 2**k from a multiple of 2**k on; False, and nothing added, where anything differs.

        Then the entries are added one by one, which tells what it is.
        """
        try:
            if sequences(entries) != list(range(first, first + len(entries))):
                return False
        except AuditError:
            return False
        levels = [leaf_hashes(entries)]
        while len(levels[-1]) > 1:
            levels.append(above(levels[-1]))
        for level, made in enumerate(levels):
            if self._stored.several(level, first >> level, len(made)) != made:
                return False
        self._first, self._block = first, levels
        roots.compare_until(first + len(entries) - 1, self)
        self._block = []
        graft(self, len(levels) - 1, first >> len(levels) - 1, levels[-1][0])
        return True

    def put(self, level: int, index: int, value: bytes) -> None:
        self._peaks[level, index] = value
        self._peaks.pop((level - 1, 2 * index), None)
        self._peaks.pop((level - 1, 2 * index + 1), None)
        self.compare(level, index, value)

    def compare(self, level: int, index: int, value: bytes) -> None:
        try:
            same = self._stored.get(level, index) == value
        except AuditError:
            same = False
        if not same:
            kind = "the entry's stored hash" if level == 0 else f"the stored hash of level {level}"
            self._problems.add(index << level, f"{kind} is not what the entries give")


def verify_log(
    entries: Iterable[bytes],
    hashes: StoredHashes,
    notes: Iterable[str],
    origin: str,
    key: PublicKey,
    block: int = 4096,
    each: Each = map,
) -> Report:
    """Read a whole log, entries in stored order, and report every problem.

    Checked: each entry's form, its sequence number and its stored hash; each stored subtree hash; each checkpoint's
    signature and root; that the latest checkpoint covers exactly the entries that are there. block: a power of two;
    blocks of so many entries in which nothing is wrong are gone through at once. each: applies a function to many
    things and gives the results in order; a caller with threads may do it on all processors.
    """
    problems = _Problems()
    signed, count = _signed(notes, origin, key, problems, each)
    roots = _Roots(signed, problems)
    rebuilt = _Rebuilt(hashes, problems)
    roots.compare(0, rebuilt)
    size, read, last = 0, 0, -1
    for piece in _pieces(entries, block):
        if size == read and len(piece) == block and rebuilt.extend(size, piece, roots):
            size, read, last = size + block, read + block, size + block - 1
            roots.compare(size, rebuilt)
            continue
        for place, data in _placed(piece, read, last, problems):
            in_order = size == read and place == size
            read, last = read + 1, place
            if in_order:
                size = append(rebuilt, size, leaf_hash(data))
                roots.compare(size, rebuilt)
            else:
                # Without the entries before it a tree cannot be built; the leaf can still be compared.
                rebuilt.compare(0, place, leaf_hash(data))
    roots.close(size, read)
    return Report(read, count, tuple(problems.kept), problems.found)


def _placed(entries: Iterable[bytes], first: int, place: int, problems: _Problems) -> Iterator[tuple[int, bytes]]:
    """Each entry with the place that it states itself; one that cannot be read stands after the one before it.

    first: the position of the first of them; place: what the one before it stated.
    """
    for position, data in enumerate(entries, start=first):
        due = place + 1
        try:
            place = decode(data)["sequence"]
        except AuditError:
            problems.add(position, "the entry cannot be read")
            place = due
        if place != due:
            problems.add(position, f"entries are missing or out of order: number {place} stands where {due} is due")
        yield place, data


def _signed(
    notes: Iterable[str], origin: str, key: PublicKey, problems: _Problems, each: Each
) -> tuple[list[Checkpoint], int]:
    """The checkpoints whose signature holds, by size; and how many there were."""

    def prove(piece: list[str]) -> list[Checkpoint | AuditError]:
        return [_read(note, origin, key) for note in piece]

    signed, count = [], 0
    found = (read for held in _pieces(notes, _HELD) for read in each(prove, _pieces(held, _TOGETHER)))
    for count, checkpoint in enumerate(chain.from_iterable(found), start=1):
        if isinstance(checkpoint, AuditError):
            problems.add(None, f"checkpoint {count}: {checkpoint.args[0]}")
        else:
            signed.append(checkpoint)
    return sorted(signed, key=lambda checkpoint: checkpoint.size), count


def _pieces(items: Iterable[T], length: int) -> Iterator[list[T]]:
    source = iter(items)
    while piece := list(islice(source, length)):
        yield piece


def _read(note: str, origin: str, key: PublicKey) -> Checkpoint | AuditError:
    try:
        return checkpoints.read(note, origin, key)
    except AuditError as error:
        return error


class _Roots:
    """Compares signed roots with the rebuilt tree, in order of size."""

    def __init__(self, signed: list[Checkpoint], problems: _Problems) -> None:
        self._signed = signed
        self._next = 0
        self._problems = problems

    def compare(self, size: int, rebuilt: Hashes) -> None:
        while self._next < len(self._signed) and self._signed[self._next].size == size:
            if self._signed[self._next].root != root(rebuilt, size):
                self._problems.add(None, f"the entries do not give the root that was signed at size {size}")
            self._next += 1

    def compare_until(self, size: int, rebuilt: Hashes) -> None:
        """All signed roots up to this size."""
        while self._next < len(self._signed) and (due := self._signed[self._next].size) <= size:
            self.compare(due, rebuilt)

    def close(self, size: int, read: int) -> None:
        """What the checkpoints say about the end of the log; `size` entries were in order, `read` were there."""
        if not self._signed:
            self._problems.add(None, "there is no valid checkpoint")
            return
        latest = self._signed[-1].size
        if latest > read:
            self._problems.add(read, f"the log holds {read} entries, its latest checkpoint signs {latest}")
        elif latest < read:
            self._problems.add(latest, f"{read - latest} entries at the end are in no checkpoint")
        beyond = len(self._signed) - bisect_right(self._signed, size, key=lambda checkpoint: checkpoint.size)
        if beyond and size < read:
            self._problems.add(size, f"{beyond} checkpoints cannot be confirmed, as the order breaks at entry {size}")

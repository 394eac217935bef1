"""What waits for one transaction of a store, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from sojourn.audit.entry import Entry
from sojourn.storage.guard import Mode


@dataclass(eq=False)
class Job:
    """One queued write: what it does, and the caller's answer (its result, the index of its first entry)."""

    make: Callable[[Connection], tuple[Sequence[Entry], Any]]
    mode: Mode = Mode.ACTION
    answer: Future[tuple[Any, int]] = field(default_factory=Future)


@dataclass
class Batch:
    """The jobs of one transaction: whose action stands, with which result; and the encoded entries of all."""

    first: int
    encoded: list[bytes] = field(default_factory=list)
    stand: list[tuple[Job, Any, int]] = field(default_factory=list)
    failed: list[tuple[Job, BaseException]] = field(default_factory=list)

    @property
    def next(self) -> int:
        """The index of the next entry."""
        return self.first + len(self.encoded)

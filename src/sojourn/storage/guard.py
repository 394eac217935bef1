"""What SQL may do on a connection: each engine's guard is asked about every statement before it runs.

Law: outside the store's own appending and the migrations, no statement of the application changes the audit tables,
their triggers or the database's settings, and no action ends the transaction that it shares with its audit entry. An
attempt is denied and reported. What a guard cannot see, the tables' triggers stop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

READ_ONLY = "sojourn.read_only"  # the execution option of connections that only read, and see one committed state
LOG_TABLES = frozenset({"log_entry", "log_hash", "log_checkpoint"})
# What is remembered of others and is no act of this party: see `storage.witnessing` and `hub.presence`.
MEMORY_TABLES = frozenset({"witness", "cosignature", "refused_checkpoint", "presence"})
_KEY = "sojourn.guard"
_ALARMS = "sojourn.alarm"


class Mode(Enum):
    """What a connection is being used for."""

    ORDINARY = "ordinary"  # anything but the audit tables and the settings
    READING = "reading"  # nothing is changed
    ACTION = "action"  # as ordinary, inside a transaction that it cannot end
    MEMORY = "memory"  # as action, and of all tables only those of what is remembered of others
    OWNER = "owner"  # the store's own appending, and migrations


@dataclass(frozen=True)
class Attempt:
    """A denied statement: what it would have done, and to which table or setting. Never its values."""

    operation: str
    target: str


class Guard(ABC):
    """One connection's guard."""

    def __init__(self, report: Callable[[Attempt], None]) -> None:
        self.mode = Mode.ORDINARY
        self.denied = 0
        self.savepoints: list[str] = []  # begun by the present action, innermost last
        self._report = report

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether the database itself has a transaction open, which may have ended by itself."""

    def _tampered(self, attempt: Attempt) -> None:
        self.denied += 1
        self._report(attempt)

    def _begins(self, savepoint: str) -> None:
        self.savepoints.append(savepoint)

    def _reaches(self, savepoint: str, *, release: bool) -> bool:
        """Whether the action began this savepoint, which it may then release or roll back to."""
        if savepoint not in self.savepoints:
            return False
        while release and self.savepoints.pop() != savepoint:
            pass
        return True


class Alarm:
    """Where an engine's guards report; the store listens."""

    def __init__(self) -> None:
        self.listener: Callable[[Attempt], None] = lambda attempt: None

    def __call__(self, attempt: Attempt) -> None:
        self.listener(attempt)


def install(engine: Engine, make: Callable[[Any, Alarm], Guard]) -> None:
    """Guard every connection that this engine opens from now on. make: the guard of a driver's connection."""
    alarm = Alarm()
    engine.update_execution_options(**{_ALARMS: alarm})

    @event.listens_for(engine, "connect")
    def guard(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[_KEY] = make(connection, alarm)


def alarm_of(engine: Engine) -> Alarm:
    """The alarm of an engine that `install` guarded."""
    alarm = engine.get_execution_options()[_ALARMS]
    assert isinstance(alarm, Alarm)
    return alarm


def guard_of(connection: Connection) -> Guard:
    """The guard of a connection of such an engine."""
    guard = connection.info[_KEY]
    assert isinstance(guard, Guard)
    return guard


@contextmanager
def used_for(connection: Connection, mode: Mode) -> Iterator[Guard]:
    """Use the connection in this mode inside the block, then as before; gives its guard, which counts denials."""
    guard = guard_of(connection)
    before, guard.mode = guard.mode, mode
    guard.savepoints.clear()
    try:
        yield guard
    finally:
        guard.mode = before

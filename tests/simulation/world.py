"""Simulated time, and strands: threads of which exactly one runs at a time, in the order that the seed decides.

The product's synchronous code runs in a strand as it runs in a thread; where it would wait (for the network, for a
computation, for its turn to write) the strand stands still and simulated time goes on without it.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

MOST_EVENTS = 40_000  # of one seed; none of a sound federation comes near


class Killed(BaseException):
    """The process that this strand belongs to is no more."""


class NoProgress(Exception):
    """Events go on without end."""


class _Worker:
    """A real thread that lends itself to strands, one after the other."""

    idle: list[_Worker] = []  # noqa: RUF012 - shared by all worlds of this process

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.job: Callable[[], None] = lambda: None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            self.job()

    @classmethod
    def lent(cls) -> _Worker:
        return cls.idle.pop() if cls.idle else cls()


class Strand:
    """One thread of one process. `owner`: who may be killed with it; None for the people outside."""

    def __init__(self, world: World, do: Callable[[], Any], owner: Any = None) -> None:
        self.world = world
        self.owner = owner
        self.killed = False
        self.over = False
        self._do = do
        self._waits = 0  # numbers the waits, so that a late waking of an earlier one is not heard
        self._heard: Any = None
        self._worker = _Worker.lent()
        self._worker.job = self._run

    def _run(self) -> None:
        try:
            if not self.killed:
                self._do()
        except Killed:
            pass
        except BaseException as error:
            self.world.broken = self.world.broken or error
        self.over = True
        self.world.strands.pop(self, None)
        _Worker.idle.append(self._worker)
        self.world.turn.release()

    def run(self) -> None:
        """Called by the world: go on until the next wait."""
        if self.over:
            return
        before, self.world.current = self.world.current, self
        self._worker.turn.release()
        self.world.turn.acquire()
        self.world.current = before

    def wait(self, seconds: float | None = None) -> Any:
        """Called by the strand itself: stand still until woken, or for so long; what `wake` said, or None."""
        if self.killed:
            raise Killed
        self._waits += 1
        ticket, self._heard = self._waits, None
        if seconds is not None:
            self.world.at(seconds, lambda: self._go(ticket))
        self.world.turn.release()
        self._worker.turn.acquire()
        if self.killed:
            raise Killed
        return self._heard

    def ticket(self) -> int:
        """Names the wait that comes next."""
        return self._waits + 1

    def wake(self, ticket: int, heard: Any = True) -> None:
        """End a wait, at the world's next turn."""

        def go() -> None:
            if ticket == self._waits and not self.over:
                self._heard = heard
                self._go(ticket)

        self.world.at(0.0, go)

    def _go(self, ticket: int) -> None:
        if ticket == self._waits and not self.over:
            self._waits += 1  # whoever wakes it too comes too late
            self.run()

    def kill(self) -> None:
        """Called by the world: it unwinds at once, and can do nothing more."""
        self.killed = True
        self.run()


class World:
    """The events of one seed."""

    def __init__(self, seed: int, show: Callable[[str], object] | None = None) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.faults: Counter[str] = Counter()
        self.strands: dict[Strand, None] = {}
        self.current: Strand | None = None
        self.broken: BaseException | None = None
        self.turn = threading.Lock()
        self.turn.acquire()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._digest = hashlib.sha256()
        self._show = show

    # ---- time

    def at(self, delay: float, do: Callable[[], None]) -> None:
        """Do this after so long."""
        self._number += 1
        heapq.heappush(self._due, (self.now + max(0.0, delay), self._number, do))

    def spawn(self, do: Callable[[], Any], owner: Any = None, delay: float = 0.0) -> Strand:
        """A new strand, which begins after so long."""
        strand = Strand(self, do, owner)
        self.strands[strand] = None
        self.at(delay, strand.run)
        return strand

    def sleep(self, seconds: float) -> None:
        """Called in a strand: stand still for so long."""
        assert self.current is not None
        self.current.wait(seconds)

    def run(self, until: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Let things happen until this time, or until it is enough."""
        while self._due and self._due[0][0] <= until and not enough():
            self.now, _, do = heapq.heappop(self._due)
            self.events += 1
            if self.events > MOST_EVENTS:
                raise NoProgress(f"{MOST_EVENTS} events, and no end")
            do()
            if self.broken is not None:
                raise self.broken
        self.now = max(self.now, until) if not enough() else self.now

    def end(self) -> None:
        """End every strand, so that its thread is free for the next world."""
        for strand in list(self.strands):
            strand.kill()

    # ---- the record

    def tell(self, *words: object) -> None:
        """Add a line to the trace, whose digest says whether two runs were the same."""
        line = f"{self.now:12.3f} {' '.join(map(str, words))}"
        self._digest.update(line.encode() + b"\n")
        if self._show is not None:
            self._show(line)

    def fault(self, kind: str, *words: object) -> None:
        """A fault has happened."""
        self.faults[kind] += 1
        self.tell("fault:", kind, *words)

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()

    def chance(self, probability: float) -> bool:
        """Whether it happens; a probability of zero asks nothing of the seed's luck."""
        return probability > 0 and self.random.random() < probability


class Waiting:
    """A lock of strands, as reentrant as the one that it stands for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._holder: Strand | None = None
        self._depth = 0
        self._line: deque[tuple[Strand, int]] = deque()

    def __enter__(self) -> Waiting:
        strand = self._world.current
        assert strand is not None
        while self._holder is not None and self._holder is not strand and not self._holder.over:
            self._line.append((strand, strand.ticket()))
            strand.wait()
        self._holder, self._depth = strand, self._depth + 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._holder = None
            if self._line:
                strand, ticket = self._line.popleft()
                strand.wake(ticket)


class Flag:
    """What a `threading.Event` is to threads, for strands; nobody of a process that is killed sets one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, seconds: float) -> bool:
        if not self._set:
            self._world.sleep(seconds)
        return self._set

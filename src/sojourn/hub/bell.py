"""Wakes long polls: a thread that changed something rings, a request that waits for it hears.

Where several programs serve one hub, `relay` carries each ring to the others (`storage.notices`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class Bell:
    """Topics are words such as `site:Cleveland` or `study:…`. A ring that nobody waits for is not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[Listener]] = {}
        self.closed = False
        self.relay: Callable[[Sequence[str]], None] = lambda topics: None

    def ring(self, *topics: str) -> None:
        """Wake everyone who listens to these topics; safe from any thread."""
        self.sound(topics)
        self.relay(topics)

    def ring_all(self) -> None:
        """Wake everyone here: something may have rung elsewhere unheard."""
        with self._lock:
            topics = list(self._waiting)
        self.sound(topics)

    def sound(self, topics: Sequence[str]) -> None:
        """Wake those who listen in this program."""
        with self._lock:
            heard = [listener for topic in topics for listener in self._waiting.get(topic, ())]
        for listener in heard:
            listener.wake()

    def close(self) -> None:
        """Wake everyone for good: the hub is about to end."""
        with self._lock:
            self.closed = True
        self.ring_all()

    @contextmanager
    def listening(self, topic: str) -> Iterator[Listener]:
        """Listen from here on; look at the state after this, then wait, so that no ring is missed."""
        listener = Listener()
        with self._lock:
            self._waiting.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._waiting[topic].discard(listener)
                if not self._waiting[topic]:
                    del self._waiting[topic]


class Listener:
    """One waiting request on its own event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def heard(self, seconds: float) -> bool:
        """Wait for a ring at most so long; True where it rang."""
        try:
            await asyncio.wait_for(self._event.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        self._event.clear()
        return True

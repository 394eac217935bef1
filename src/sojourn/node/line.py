"""Work that waits in line for one thread. The thread never keeps the program from ending, whatever it is doing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """Does one thing at a time, in order; after `end`, what still waits is not begun."""

    def __init__(self, do: Callable[[T], None], name: str) -> None:
        self._do = do
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, work: T) -> None:
        """Stand in line."""
        self._waiting.put(work)

    def end(self) -> None:
        """Begin nothing more."""
        self._ended.set()
        self._waiting.put(None)

    def join(self, timeout: float) -> None:
        """Wait at most so long for what is being done."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._ended.is_set():
            self._do(work)

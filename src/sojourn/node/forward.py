"""Time as a node judges by it: it never runs back while the program runs, so that what has expired stays expired."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Forward:
    """The latest moment that a clock has shown. A clock that was ahead by mistake is forgotten at the next start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest = float("-inf")

    def __call__(self) -> float:
        """UTC seconds."""
        with self._lock:
            self._latest = max(self._latest, self._clock())
            return self._latest

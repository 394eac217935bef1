"""When answers leave that rest on records nobody may know of: at whole multiples of a pace after their ask came.

A site that has nothing for a masked plan answers sooner than one that reads its rows. So what may depend on rows is
judged first, and only stored, logged and handed over at its time: the log that the hub sees grow grows then as well.
What is left is the number of multiples, one where the pace is above what the slowest answer takes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

Later = Callable[[float, Callable[[], None]], None]  # seconds, what is to be done then


@dataclass(frozen=True)
class Departure:
    """An answer that was judged. wait: seconds until it may leave; go: stores it."""

    wait: float
    go: Callable[[], object]


def after(seconds: float, do: Callable[[], object]) -> None:
    """On a thread of its own, which keeps no program from ending."""
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def wait_of(pace: float, took: float) -> float:
    """Seconds from now until the next multiple, at least one, of a pace above zero, `took` seconds after the ask."""
    took = max(0.0, took)
    return max(1, math.ceil(took / pace)) * pace - took

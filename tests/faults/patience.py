"""Waiting for what is costly to ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(what: str, ready: Callable[[], Found], seconds: float = 60.0) -> Found:
    """The first true value of `ready`, asked five times a second; AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.2)
    return found

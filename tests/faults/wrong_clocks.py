"""Programs with another clock than the machine's, by libfaketime: fixed at the start, or turned while they run."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest
from federation_processes import Processes

LIBRARIES = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketimeMT.so.1"),
]


def start_at(wards: Processes, name: str, offset: str) -> Path:
    """Start a program whose clock is wrong by so much, e.g. `+5m`; writing another offset into the file turns it.

    Only the time of day is wrong: what waits and what sleeps go by the monotonic clock, which stays right.
    """
    if not LIBRARIES:
        pytest.skip("libfaketime is not there (apt install faketime)")
    turned = wards.home / f"{name}.clock"
    turn(turned, offset)
    words = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(turned),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with mock.patch.dict(os.environ, words):
        wards.start(name)
    return turned


def turn(clock: Path, offset: str) -> None:
    """Set the clock; the program never reads half a file."""
    fresh = clock.with_suffix(".fresh")
    fresh.write_text(offset + "\n")
    fresh.replace(clock)

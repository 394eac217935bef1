"""Socket files in deep folders: an address holds 107 bytes, a path may be longer."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

LONGEST = 107  # of sockaddr_un's path, without its closing zero


def address_of(path: Path) -> str:
    """The path itself, or where it is too long a short one by way of its folder's descriptor (Linux's /proc)."""
    if len(os.fsencode(path)) <= LONGEST:
        return str(path)
    return f"/proc/self/fd/{_folder(path.parent)}/{path.name}"


@lru_cache(maxsize=16)
def _folder(path: Path) -> int:
    """A descriptor of a folder, kept for as long as the program runs: addresses made with it stay good."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

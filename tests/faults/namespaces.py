"""Namespaces of the kernel for the thread that tests run in: what is mounted or connected there concerns nobody else.

Processes that are started inside live there; all of it goes with them. For root; others skip.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NETWORK, MOUNTS = 0x40000000, 0x00020000
_FILES = {NETWORK: "net", MOUNTS: "mnt"}
_kernel = ctypes.CDLL(None, use_errno=True)


def here(kind: int) -> int:
    """A descriptor of this thread's namespace; it lives as long as the descriptor does."""
    return os.open(f"/proc/thread-self/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int, kind: int) -> Iterator[None]:
    """Be in a namespace inside the block, in this thread alone."""
    before, folder = here(kind), os.getcwd()
    _entered(namespace, kind)
    try:
        yield
    finally:
        _entered(before, kind)
        os.chdir(folder)
        os.close(before)


def fresh(kind: int) -> int:
    """A new namespace; skips the test where there is none to be had."""
    before, folder = here(kind), os.getcwd()
    if os.geteuid() != 0 or _kernel.unshare(kind):
        os.close(before)
        pytest.skip("namespaces are for root alone here")
    try:
        return here(kind)
    finally:
        _entered(before, kind)
        os.chdir(folder)
        os.close(before)


def run(*words: str) -> None:
    """A command to its end, in this thread's namespaces; skips the test where there is no such command."""
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip(f"{words[0]} is not installed")


def _entered(namespace: int, kind: int) -> None:
    if _kernel.setns(namespace, kind):
        raise OSError(ctypes.get_errno(), "setns")

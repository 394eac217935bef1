"""A program for the sandbox that looks around: `python -m sojourn.node.probe FOLDER DESCRIPTOR`.

It answers `{"examine": null}` with what it could do, and everything else as a worker does. It tries nothing that
would leave a trace where the sandbox does not hold.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sojourn.node.frames import pack, read
from sojourn.node.worker import Worker

# What the environment of a worker may hold.
_KNOWN = {"PYTHONPATH", "LANG", "LD_LIBRARY_PATH", "PWD", "LC_CTYPE"}


def look() -> dict[str, Any]:
    """Ways that should be shut, each with whether it is open; and the limits in force."""
    return {
        "open": {
            "network": _can(_socket),
            "writing outside its folder": _can(lambda: _writable("/", "/usr", "/etc", "/home", "/var")),
            "writing its data": _can(lambda: _writable(sys.argv[1])),
            "other processes": _can(_others),
            "the environment": any(not _usual(name) for name in os.environ),
            "new privileges": _status("NoNewPrivs") != "1",
            "all system calls": _status("Seccomp") != "2",
            "being root": os.geteuid() == 0,
        },
        "limits": {
            "memory": resource.getrlimit(resource.RLIMIT_AS)[1],
            "processor": resource.getrlimit(resource.RLIMIT_CPU)[1],
            "file": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        },
    }


def _can(act: Callable[[], bool]) -> bool:
    try:
        return act()
    except OSError:
        return False


def _socket() -> bool:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    return True


def _writable(*folders: str) -> bool:
    return any(os.access(folder, os.W_OK) for folder in folders)


def _others() -> bool:
    """Whether a process is in sight that is neither this one nor the sandbox's own first one."""
    return any(name.isdigit() and int(name) not in (1, 2, os.getpid(), os.getppid()) for name in os.listdir("/proc"))


def _usual(name: str) -> bool:
    return name in _KNOWN or name.endswith("_NUM_THREADS")


def _status(word: str) -> str:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((line.split()[1] for line in lines if line.startswith(word + ":")), "")


def main(folder: str, descriptor: str) -> None:
    """Answer until the node closes standard input."""
    worker = Worker(Path(folder), sys.stderr.write)
    with os.fdopen(int(descriptor), "wb") as answers:
        while (document := read(sys.stdin.buffer)) is not None:
            answers.write(pack(look() if "examine" in document else worker.answer(document)))
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

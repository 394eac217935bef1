"""Runs a harmonisation in children that kill themselves. Run by `test_harmonise_kills`, not by hand.

The product is imported once and forks: a child counts what the run does to files (opened, linked, renamed, removed, and
each query) and sends itself SIGKILL at the number that it was told. The product knows nothing of it.
Arguments: a JSON document {work, at: [[home, number], ...]}; number 0: to the end. Prints a JSON line each:
{"home", "signal", "count"}, the count of a child that came to its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401  (so that no child has to import it)

import sojourn.omop.compilation  # noqa: F401
from sojourn.node.harmonise import engine, running

EVENTS = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "open")


def child(work: running.Work, fatal: int, out: int) -> None:
    """Run, and die at the `fatal`th thing that is done."""
    passed = 0

    def passes(*_: Any) -> None:
        nonlocal passed
        passed += 1
        if passed == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    written = engine.Engine.write

    def write(self: Any, *words: Any, **more: Any) -> int:
        passes()
        rows = written(self, *words, **more)
        passes()
        return rows

    engine.Engine.write = write  # type: ignore[method-assign]
    folder = str(work.home)
    sys.addaudithook(lambda event, found: passes() if event in EVENTS and folder in str(found[0]) else None)
    running.run(work, lambda kind, facts: passes())
    os.write(out, str(passed).encode())


def main(order: dict[str, Any]) -> None:
    """Fork a child for each home."""
    for home, fatal in order["at"]:
        words = {name: Path(value) for name, value in order["work"].items() if name in ("warehouse", "export")}
        work = running.Work(Path(home), plan_text=order["work"]["plan_text"], **words)
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            child(work, fatal, write)
            os._exit(0)
        os.close(write)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(read) as counted:
            count = int(counted.read() or 0)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
        print(json.dumps({"home": home, "signal": ended, "count": count}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

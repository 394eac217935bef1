"""Memory: an idle hub, an idle node with its worker in stock, and a worker at its most against its analysis table."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from machine import keep, resident
from processes import Processes, below, processes, rows

import sojourn as sj

ROWS, COVARIATES = 1_000_000, 20


def worker(running: Processes) -> int:
    """The interpreter among the processes below the one node."""
    found = []
    for pid in below(running.pid("site")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"sojourn.node.worker" in words and b"python" in words[0]:
                found.append(pid)
    return found[-1]


def fitted(formula: str) -> dict[str, Any]:
    """Memory before, during and after a logistic regression."""
    table = rows(0, ROWS, COVARIATES)
    size = sum(table[name].nbytes for name in table) / 2**20 + ROWS * 4 / 2**20  # and a number for each person
    with processes({"site": table}) as running:
        time.sleep(5)
        idle = {"hub": resident(running.pid("hub")), "node": resident(running.pid("site"))}
        stocked = resident(worker(running))
        most = [stocked]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                with contextlib.suppress(OSError, StopIteration, IndexError):
                    most.append(resident(worker(running), most=True))

        watching = threading.Thread(target=watch)
        watching.start()
        plan = sj.Plan(
            title="memory",
            purpose="NRES",
            table="rows",
            analyses={"m": sj.glm(formula, family="binomial")},
            min_sites=1,
        )
        running.project.submit(plan).wait(600)
        done.set()
        watching.join()
        time.sleep(5)
        after = {"hub": resident(running.pid("hub")), "node": resident(running.pid("site"))}
        node_most = resident(running.pid("site"), most=True)
    return {
        "idle_mb": idle,
        "after_a_study_mb": after,
        "node_most_mb": node_most,
        "table_mb": size,
        "worker_in_stock_mb": stocked,
        "worker_most_mb": max(most),
        "worker_to_table": max(most) / size,
        "worker_beyond_stock_to_table": (max(most) - stocked) / size,
    }


def main() -> None:
    """One node with a million rows of twenty covariates."""
    keep("memory", fitted("y ~ " + " + ".join(f"x{place}" for place in range(COVARIATES))))


if __name__ == "__main__":
    main()

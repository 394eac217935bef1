"""An empty round: from one round's asking to the next one's, on tables of 400 rows, with stores, logs and signatures.

Three ways: hub and nodes as threads of one process (no TLS, no sandbox); hub and one node as processes over TLS, the
worker in its sandbox; hub and four nodes as such. Processor time is of one round, all processes together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from machine import keep, processor_seconds
from processes import below, processes, rows

import sojourn as sj
from sojourn.client.studies import Project
from sojourn.testbed import Federation

TIMES, REST = 10, 1.5
LONG = sj.glm("y ~ x0", family="binomial")
SHORT = sj.count()


def measured(project: Project, least: int, clock: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """Milliseconds between asks, and of processor between a long study and one of a single round."""
    between: list[float] = []
    cost: dict[int, list[dict[str, float]]] = {}
    for analysis in [LONG, SHORT] * TIMES:
        time.sleep(REST)  # the nodes make their next workers ready
        before = clock()
        run = project.submit(
            sj.Plan(title="empty", purpose="NRES", table="rows", analyses={"m": analysis}, min_sites=least)
        )
        asked = [event["time"] for event in run.events(60) if event["state"] == "asked"]
        time.sleep(REST / 3)  # until all is acknowledged
        after = clock()
        cost.setdefault(len(asked), []).append({name: after[name] - before[name] for name in before})
        between += [1000 * (later - earlier) for earlier, later in pairwise(asked[1:])]
    (few, short), (many, long) = sorted(cost.items())
    middle = {
        name: statistics.median(item[name] for item in long) - statistics.median(item[name] for item in short)
        for name in long[0]
    }
    return {
        "median_ms": statistics.median(between),
        "least_ms": min(between),
        "rounds": len(between),
        "processor_ms_a_round": {name: 1000 * value / (many - few) for name, value in middle.items()},
    }


def in_process(sites: int) -> dict[str, Any]:
    """Hub and nodes as threads of this process."""
    tables = {f"site{number}": {"rows": rows(number, 400, 2)} for number in range(sites)}
    with Federation(tables, repeats=False) as joined:
        return measured(joined.project(), 1, lambda: {"all": time.process_time()})


def separate(sites: int) -> dict[str, Any]:
    """Hub and nodes as processes; nodes together, and their workers."""
    names = [f"site{number}" for number in range(sites)]
    with processes({name: rows(number, 400, 2) for number, name in enumerate(names)}) as running:

        def clock() -> dict[str, float]:
            return {
                "hub": processor_seconds(running.pid("hub")),
                "nodes": sum(processor_seconds(running.pid(name)) for name in names),
            }

        found = measured(running.project, 1, clock)
        found["processes"] = 1 + sites + sum(len(below(running.pid(name))) for name in names)
        return found


def main() -> None:
    """Measure all three."""
    keep(
        "rounds",
        {
            "in_process_1": in_process(1),
            "in_process_4": in_process(4),
            "processes_1": separate(1),
            "processes_4": separate(4),
        },
    )


if __name__ == "__main__":
    main()

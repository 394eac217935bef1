"""4, 16, 64 and 200 sites: one round in which each delivers a signed, sealed release of about 10 KB.

In one process over the in-memory transport, and over HTTPS with the hub as a process of its own and the simulated
nodes (`light.py`) in another. Seconds are from the asking to the conclusion, by the hub's clock: every site's long poll
is answered, each opens nothing else but makes, signs and seals its release, the hub checks, stores, logs and receipts
each, and adds them up.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import light
from machine import keep, processor_seconds, resident
from processes import PROJECT, processes

import sojourn as sj
from sojourn.client.studies import Project
from sojourn.hub import program as hub
from sojourn.identity.keys import PrivateKey
from sojourn.testbed import NAME, Federation
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import in_memory_client

COUNTS = (4, 16, 64, 200)
TIMES = 5


def measured(project: Project, sites: int, processor: Callable[[], float]) -> dict[str, Any]:
    """Seconds of one round over all sites, and of the hub's processor."""
    taken, used, deliveries = [], [], []
    for _ in range(TIMES):
        plan = sj.Plan(title="sites", purpose="NRES", table="rows", analyses={"h": light.HISTOGRAM}, min_sites=sites)
        time.sleep(1)
        before = processor()
        events = list(project.submit(plan).events(120))
        asked = next(event["time"] for event in events if event["state"] == "asked")
        answered = [event["time"] for event in events if event["state"] == "contributed"]
        taken.append(next(event["time"] for event in events if event["state"] == "concluded") - asked)
        deliveries.append(max(answered) - asked)
        time.sleep(0.5)
        used.append(processor() - before)
        assert len(answered) == sites
    return {
        "round_s": statistics.median(taken),
        "least_s": min(taken),
        "last_delivery_s": statistics.median(deliveries),
        "processor_ms_a_site": 1000 * statistics.median(used) / sites,
    }


@contextmanager
def in_memory(sites: int) -> Iterator[Project]:
    """A hub and simulated nodes in this process."""
    answer, nodes = light.output(), []
    with Federation({}, repeats=False) as joined:
        for number in range(sites):
            site, key = f"site{number}", PrivateKey.generate()
            client = in_memory_client(joined._app, SignedAuth(key, audience=NAME), joined._loop)
            made = light.node(client, site, NAME, joined.hub.store.public_key.hex, key, answer)
            made.join(joined.hub.invite(site))
            made.start()
            nodes.append(made)
        try:
            yield joined.project()
        finally:
            for made in nodes:
                made.close()
            joined.hub.bell.close()


@contextmanager
def over_https(sites: int) -> Iterator[tuple[Project, int]]:
    """A hub as a process and simulated nodes in another; the hub's process id."""
    with processes({}) as running:
        lines = "".join(hub.ask(running.home / "hub", "invite", site=f"site{number}") + "\n" for number in range(sites))
        command = [sys.executable, str(Path(__file__).parent / "light.py")]
        nodes = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert nodes.stdin is not None and nodes.stdout is not None
        try:
            nodes.stdin.write(lines + "\n")
            nodes.stdin.flush()
            assert nodes.stdout.readline() == f"{sites} in {PROJECT}\n"
            yield running.project, running.pid("hub")
        finally:
            nodes.terminate()
            nodes.wait(30)


def main() -> None:
    """All counts, both ways."""
    inside, https = {}, {}
    for sites in COUNTS:
        with in_memory(sites) as project:
            inside[str(sites)] = measured(project, sites, lambda: processor_seconds(os.getpid()))
    for sites in COUNTS:
        with over_https(sites) as (project, pid):
            idle = resident(pid)
            found = measured(project, sites, lambda pid=pid: processor_seconds(pid))
            https[str(sites)] = {**found, "hub_idle_mb": idle, "hub_most_mb": resident(pid, most=True)}
    keep("sites", {"answer_bytes": 9_900, "in_process": inside, "https": https})


if __name__ == "__main__":
    main()

"""C08, C09, C10 on real TCP: hub and nodes in network namespaces of their own; packets lost, late, out of order."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from happened import count, model, nothing_doubled
from islands import Islands, Weather, islands
from patience import eventually

from sojourn.errors import TooFewSites

SITES = ("Avon", "Brent", "Cam")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", name="far")
def far_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Islands]:
    with islands(tmp_path_factory.mktemp("n")) as made:
        yield made


@pytest.fixture(autouse=True)
def fair(far: Islands) -> Iterator[None]:
    """Good weather before and after."""
    yield
    weather(far, Weather())
    far.part()
    far.ensure()


def weather(far: Islands, now: Weather, *sites: str) -> None:
    for site in sites or SITES:
        far.sea.weather[site] = replace(now)


def test_packets_that_reach_the_hub_and_none_that_come_back(far: Islands) -> None:
    """C08. Avon's answer is taken; Avon hears nothing until it gives up, and says it again when the line is whole."""
    project = far.project()
    project.submit(model()).wait(60)  # Avon's line for deliveries stands, and needs no answer to be used again
    far.signal("Avon", signal.SIGSTOP)
    try:
        run = project.submit(count(), sites=list(SITES))
        eventually("the others", lambda: [event["state"] for event in run.view().events].count("contributed") == 2)
        weather(far, Weather(down=False), "Avon")
    finally:
        far.signal("Avon", signal.SIGCONT)
    assert run.wait(60)["count"].sites == dict.fromkeys(SITES, "contributed")
    assert not far.node("Avon", "released", study=run.study)[0]["acknowledged"]
    eventually("Avon's giving up", lambda: "in time" in far.node("Avon", "show")["trouble"], 100)
    assert not far.node("Avon", "released", study=run.study)[0]["acknowledged"]
    weather(far, Weather())
    nothing_doubled(far, run, 1)


def test_a_partition_of_most_nodes(far: Islands) -> None:
    """C09. No packet passes, and no end is told that it does not."""
    project = far.project()
    project.prepare()
    weather(far, Weather(up=False, down=False), "Brent", "Cam")
    waits = project.submit(count(stragglers="wait"), sites=list(SITES))
    drops = project.submit(count(stragglers=8, min_sites=1), sites=list(SITES))
    refuses = project.submit(count(stragglers=8, min_sites=2), sites=list(SITES))
    dropped, refused = drops.wait(100), refuses.wait(100)
    assert dropped["count"].sites == {"Avon": "contributed"} | dict.fromkeys(("Brent", "Cam"), "no answer: no answer")
    with pytest.raises(TooFewSites):
        refused["count"].table  # noqa: B018
    assert waits.view().state == "running"
    weather(far, Weather())
    assert set(waits.wait(200)["count"].sites.values()) == {"contributed"}
    nothing_doubled(far, waits, 1)


def test_lost_late_and_reordered_packets(far: Islands) -> None:
    """C10. 15 % of packets lost each way, up to half a second late each way, so out of order; a few come twice."""
    project = far.project()
    project.submit(model()).wait(60)
    took: dict[str, float] = {}
    tables = []
    for name, now in (("fair", Weather()), ("foul", Weather(loss=0.15, jitter=0.5, twice=0.05))):
        weather(far, now)
        began = time.monotonic()
        run = project.submit(model())
        results = run.wait(300)
        took[name] = time.monotonic() - began
        tables.append(results["model"].table)
    weather(far, Weather())
    assert tables[0].equals(tables[1])
    nothing_doubled(far, run, results["model"].rounds)
    assert far.sea.lost > 0.1 * far.sea.carried > 0 or far.sea.lost > 50
    words = f"{results['model'].rounds} rounds: fair {took['fair']:.2f} s, foul {took['foul']:.2f} s"
    print(words)

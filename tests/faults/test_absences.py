"""Who is away, slow or unwanted: a hub for an hour, a site a hundred times slower, a site whose key is removed."""

from __future__ import annotations

import statistics
import time

import pytest
from federation_processes import SITES, until
from mortal_processes import (
    Mortals,
    counting,
    mortals_fixture,  # noqa: F401  (pytest finds it here)
    ordinary,
    same_bytes,
    settled,
    shared_mortals_fixture,  # noqa: F401
    sound,
)
from test_kill_points import answers, hold, points, sealed, state

from sojourn.client.studies import Run

pytestmark = pytest.mark.timeout(300)


@pytest.mark.nightly
def test_c07_a_hub_away_for_an_hour_in_the_middle_of_a_study(mortals: Mortals) -> None:
    """Nodes finish what they have in hand, keep it sealed, hand it over when the hub is back; nobody is too late."""
    since = {site: mortals.traced(site) for site in SITES}
    mortals.armed(hub=[("before", "round.answered", 1)])
    run = mortals.submit(mortals.project(), ordinary(stragglers=600))
    until("the hub's end", lambda: mortals.running["hub"].poll() is not None)
    until("the local work", lambda: all(sealed(mortals, site, run) == 2 for site in SITES))  # one of each analysis
    mortals.advance(3600)
    kept = {site: mortals.rows(site, "SELECT ask, sealed FROM release WHERE acknowledged = 0") for site in SITES}
    assert {site: len(rows) for site, rows in kept.items()} == dict.fromkeys(SITES, 2)
    mortals.tend()
    began = time.monotonic()
    waiting = "SELECT 1 FROM release WHERE acknowledged = 0 AND ask IN (?, ?)"
    until(
        "the handing over",
        lambda: not any(mortals.rows(site, waiting, *(ask for ask, _ in kept[site])) for site in SITES),
        60,
    )
    print(f"handed over {time.monotonic() - began:.1f} s after the hub's return")
    sound(mortals, run)
    for site in SITES:
        assert set(kept[site]) <= set(mortals.rows(site, "SELECT ask, sealed FROM release"))
        computed = points(mortals, site, "Computation.round", since[site])
        assert len(computed) == len(set(computed))


def test_c21_a_site_a_hundred_times_slower_holds_nobody_else_up(mortals: Mortals) -> None:
    """A computation takes some 10 ms; at Cam it takes 30 s. By its plan's deadline a study goes on without Cam."""
    project = mortals.project()
    mortals.orders["Cam"]["slow"] = 30.0
    mortals.armed(Cam=[])
    since = mortals.traced("Cam")
    run = mortals.submit(project, counting(min_sites=2, stragglers=100))
    mortals.tended("two answers", lambda: answers(mortals, run) and len(answers(mortals, run)) == 2)
    until("Cam's beginning", lambda: points(mortals, "Cam", "Computation.round", since))
    for _ in range(5):
        assert project.submit(counting(min_sites=2), sites=["Avon", "Brent"]).wait(30).trusted
    assert "after" not in {
        line["moment"] for line in mortals.trace("Cam", since) if line["point"] == "Computation.round"
    }
    assert state(mortals, run) == "running"
    mortals.later("the end", lambda: state(mortals, run) == "completed", 101)
    settled(mortals, run, ["Avon", "Brent"])
    results = mortals.researcher().study(run.study).results()
    assert results["count"].sites == {"Avon": "contributed", "Brent": "contributed", "Cam": "no answer: no answer"}


@pytest.mark.faults
def test_c21_the_others_speed_beside_a_slow_site(mortals: Mortals) -> None:
    """Studies of two sites, in turn without and with a third site that is busy with another study."""
    project = mortals.project()

    def seconds() -> float:
        began = time.monotonic()
        project.submit(counting(min_sites=2), sites=["Avon", "Brent"]).wait(30)
        return time.monotonic() - began

    seconds()
    alone = [seconds() for _ in range(40)]
    mortals.orders["Cam"]["slow"] = 60.0
    mortals.armed(Cam=[])
    since = mortals.traced("Cam")
    run = mortals.submit(project, counting(min_sites=2, stragglers="wait"))
    until("Cam's beginning", lambda: points(mortals, "Cam", "Computation.round", since))
    beside = [seconds() for _ in range(40)]
    assert state(mortals, run) == "running"
    run.cancel()
    ratios = [
        statistics.median(beside) / statistics.median(alone),
        statistics.quantiles(beside, n=20)[-1] / statistics.quantiles(alone, n=20)[-1],
    ]
    print(f"beside a slow site, by alone: median {ratios[0]:.2f}, p95 {ratios[1]:.2f}")
    assert ratios[0] <= 1.2


def test_c23_a_site_whose_key_is_removed_in_the_middle_of_a_study(mortals: Mortals) -> None:
    release = hold(mortals, "Cam")
    run = mortals.submit(mortals.project(), counting(min_sites=2))
    mortals.tended("the local work", lambda: len(answers(mortals, run)) == 2 and sealed(mortals, "Cam", run) == 1)
    journal = mortals.home / "Cam" / "journal.log"
    before = journal.read_text().count("AccessRefused")
    began = time.monotonic()
    mortals.command("hub", "remove", "Cam", "--home", str(mortals.home / "hub"))
    until("a refusal", lambda: journal.read_text().count("AccessRefused") > before, 5)
    print(f"refused {time.monotonic() - began:.2f} s after the command was given")
    until("the end", lambda: state(mortals, run) == "completed", 5)
    release()
    until("the refusal of what was sealed", lambda: refused_delivery(mortals, run), 30)
    assert not mortals.node("Cam", "show")["connected"]
    hub = [(entry["kind"], entry["facts"].get("site")) for entry in mortals.log("hub", run.study)]
    assert ("round.dropped", "Cam") in hub
    assert ("round.answered", "Cam") not in hub and ("round.late", "Cam") not in hub
    kept = mortals.rows("Cam", "SELECT acknowledged FROM release WHERE study = ?", run.study)
    assert kept == [(0,)]
    same_bytes(mortals, "Cam", run)
    settled(mortals, run, ["Avon", "Brent"])
    mortals.remake("Cam")
    until("everybody", mortals.connected)
    sound(mortals, mortals.submit(mortals.project(), ordinary()))


def refused_delivery(mortals: Mortals, run: Run) -> bool:
    """Whether Cam has tried to hand over its answer, in vain."""
    journal = (mortals.home / "Cam" / "journal.log").read_text()
    return any(run.study in line and "hub:" in line and "key" in line for line in journal.splitlines())

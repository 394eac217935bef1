"""C13: clocks that are wrong, and that jump, at a node, at the hub and at a researcher."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import pytest
from federation_processes import PROJECT, SITES, Processes, shared_fixture, wards_fixture  # noqa: F401  (pytest finds them here)
from patience import eventually
from wrong_clocks import start_at, turn

import sojourn as sj
from sojourn.errors import IdentityError
from sojourn.node.forward import Forward
from sojourn.testbed import Federation
from sojourn.wire.administration import listens

NOW = 1_800_000_000.0
HOUR = 3600.0
pytestmark = pytest.mark.timeout(300)  # the first of all waits for a federation's start


def count(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


def trouble(wards: Processes, site: str, words: str) -> None:
    """Wait until the custodian is told this."""
    eventually(words, lambda: words in wards.node(site, "show")["trouble"], 40)


def log(wards: Processes, site: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{wards.home / site / 'node.db'}?mode=ro", uri=True)) as connection:
        return [json.loads(data) for (data,) in connection.execute("SELECT data FROM log_entry ORDER BY position")]


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_a_node_whose_clock_is_wrong_is_told_and_goes_on_when_it_is_right(wards: Processes) -> None:
    wards.stop("Cam")
    clock = start_at(wards, "Cam", "+5m")
    eventually("Cam", lambda: listens(wards.home / "Cam" / "admin.sock"))
    try:
        trouble(wards, "Cam", " s ahead.")
        turn(clock, "-5m")
        trouble(wards, "Cam", " s behind.")
        told = wards.hub("show")
        assert -305 < float(told["clocks"]["Cam"].removesuffix(" s")) < -295 and len(told["clocks"]) == 1
        assert {site["site"]: site["online"] for site in told["sites"]}["Brent"]
        turn(clock, "+0")
        eventually("Cam's return", lambda: wards.connected() and not wards.node("Cam", "show")["trouble"], 60)
        assert wards.hub("show")["clocks"] == {}
        turn(clock, "-1h")
        before = len(log(wards, "Cam"))
        wards.node("Cam", "approve", project=PROJECT, key=wards.key.public.hex)
        results = wards.project().submit(count(min_sites=2, stragglers=8), sites=list(SITES)).wait(60)
        assert results["count"].sites["Cam"].startswith("no answer")
        turn(clock, "+0")
        eventually("Cam's return", lambda: wards.connected() and not wards.node("Cam", "show")["trouble"], 60)
        results = wards.project().submit(count()).wait(60)
        assert set(results["count"].sites.values()) == {"contributed"}
        entries = log(wards, "Cam")
        assert [entry["sequence"] for entry in entries] == list(range(len(entries)))
        times = [entry["time"] for entry in entries]
        assert times[before] < times[before - 1] and times != sorted(times)  # the order is that of the sequence
        assert wards.node("Cam", "verify")["ok"]
        journal = (wards.home / "Cam" / "journal.log").read_text()
        assert "Set both clocks by a time server" in journal
    finally:
        wards.kill("Cam")


@pytest.mark.nightly
def test_a_hub_whose_clock_is_wrong_is_seen_by_everyone(wards: Processes) -> None:
    wards.kill("hub")
    clock = start_at(wards, "hub", "+5m")
    try:
        for site in SITES:
            trouble(wards, site, " s behind.")
        assert set(wards.hub("show")["clocks"]) == set(SITES)
        with pytest.raises(IdentityError, match=r"differ by more than a minute.* 30\d s behind.*time server"):
            wards.project().prepare()
        turn(clock, "+0")
        eventually("all sites", wards.connected, 60)
        assert wards.hub("show")["clocks"] == {}
        results = wards.project().submit(count()).wait(60)
        assert set(results["count"].sites.values()) == {"contributed"}
    finally:
        wards.kill("hub")


class Clock:
    """One for everybody, so that nobody can see by another's that it is wrong."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_what_has_expired_stays_so_when_every_clock_jumps_back() -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"sick": random.random(200) < 0.4})
    clock = Clock()
    with Federation({site: {"patients": frame} for site in SITES}, clock=clock) as federation:
        project = federation.project()
        assert project.submit(count()).wait(30)["count"].sites == dict.fromkeys(SITES, "contributed")
        clock.now -= HOUR
        fresh = project.request(count())
        old = dataclasses.replace(fresh, issued=int(clock.now) - 600, expires=int(clock.now) + 1800)
        assert old.expires < NOW
        refused = project.send(old).wait(30)
        assert refused["count"].sites == dict.fromkeys(SITES, "not released: expired")
        assert project.submit(count()).wait(30)["count"].sites == dict.fromkeys(SITES, "contributed")
        assert all(node.store.verify().ok for node in federation.nodes.values())


def test_time_never_runs_back_for_a_node() -> None:
    clock = Clock()
    forward = Forward(clock)
    seen = []
    for step in (0.0, 5.0, -HOUR, 1.0, HOUR, 3.0):
        clock.now += step
        seen.append(forward() - NOW)
    assert seen == [0.0, 5.0, 5.0, 5.0, 6.0, 9.0]

"""Partitions, loss, delay, repetition and replay of messages between real processes, made by a middleman of our own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from federation_processes import PROJECT, SITES, Processes, shared_fixture, wards_fixture  # noqa: F401  (pytest finds them here)
from happened import count, model, nothing_doubled, rows
from middleman import Middleman
from patience import eventually
from wrong_clocks import start_at

from sojourn.client.login import save_login
from sojourn.client.studies import connect
from sojourn.errors import TooFewSites
from sojourn.node.config import NodeHome

Net = dict[str, Middleman]
pytestmark = pytest.mark.timeout(300)  # the first of all waits for a federation's start


@pytest.fixture(scope="module", name="around")
def around_fixture(shared: Processes) -> Iterator[Net]:
    """Every node speaks with the hub through a middleman of its own; afterwards straight again."""
    wards = shared
    wards.ensure()
    authority, port = wards.home / "hub" / "authority", int(wards.url.rpartition(":")[2])
    made = {site: Middleman(authority, port, seed) for seed, site in enumerate(SITES)}
    try:
        turn(wards, {site: middleman.url for site, middleman in made.items()})
        wards.ensure()
        yield made
    finally:
        turn(wards, dict.fromkeys(SITES, wards.url))
        for middleman in made.values():
            middleman.close()


@pytest.fixture
def net(wards: Processes, around: Net) -> Iterator[Net]:
    """Good weather before and after a test."""
    yield around
    for middleman in around.values():
        middleman.fair()
        middleman.heard.clear()


def turn(wards: Processes, urls: dict[str, str]) -> None:
    """Let nodes ask other addresses, from their next start on."""
    for site in urls:
        wards.running[site].terminate()
    for site, url in urls.items():
        assert wards.running[site].wait(30) == 0
        home = NodeHome.load(wards.home / site)
        home.joined(url, home.federation).save()


def asks(middleman: Middleman) -> list[str]:
    """What was answered, once for each time that it was."""
    return [heard.body["ask"] for heard in middleman.heard if heard.path.endswith("/deliveries")]


@pytest.mark.long
def test_requests_that_pass_while_answers_are_lost_release_nothing_twice(wards: Processes, net: Net) -> None:
    """C08. The hub hears Avon's answer again and again; Avon hears nothing until the line is whole."""
    run = wards.project().submit(model())
    eventually("Avon's first task", lambda: rows(wards, "Avon", "SELECT 1 FROM run WHERE study = ?", run.study))
    net["Avon"].deaf = "/deliveries"
    eventually("an answer, three times", lambda: max(Counter(asks(net["Avon"])).values(), default=0) >= 3, 60)
    net["Avon"].deaf = "/"
    eventually("trouble", lambda: "reached" in wards.node("Avon", "show")["trouble"])
    net["Avon"].fair()
    results = run.wait(90)
    assert results.trusted and set(results["model"].sites.values()) == {"contributed"}
    nothing_doubled(wards, run, results["model"].rounds)
    eventually("no trouble", lambda: not wards.node("Avon", "show")["trouble"], 60)


@pytest.mark.long
def test_a_partition_of_most_nodes_is_waited_for_or_dropped_as_the_plan_says(wards: Processes, net: Net) -> None:
    """C09. The cohort never falls below the plan's minimum of sites."""
    project = wards.project()
    for site in ("Brent", "Cam"):
        net[site].cut = True
    waits = project.submit(count(stragglers="wait"), sites=list(SITES))
    drops = project.submit(count(stragglers=8, min_sites=1), sites=list(SITES))
    refuses = project.submit(count(stragglers=8, min_sites=2), sites=list(SITES))
    dropped, refused = drops.wait(60), refuses.wait(60)
    assert dropped["count"].sites == {"Avon": "contributed"} | dict.fromkeys(("Brent", "Cam"), "no answer: no answer")
    with pytest.raises(TooFewSites):
        refused["count"].table  # noqa: B018
    assert waits.view().state == "running"
    for site in ("Brent", "Cam"):
        net[site].fair()
    assert set(waits.wait(90)["count"].sites.values()) == {"contributed"}
    nothing_doubled(wards, waits, 1)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_loss_delay_and_reordering_are_survived(wards: Processes, net: Net) -> None:
    """C10, by messages: of 15 % nothing comes back, each way takes up to half a second longer."""
    began = time.monotonic()
    healthy = wards.project().submit(model()).wait(60)
    fair = time.monotonic() - began
    for middleman in net.values():
        middleman.loss, middleman.jitter = 0.15, 0.5
    began = time.monotonic()
    run = wards.project().submit(model())
    results = run.wait(110)
    foul = time.monotonic() - began
    for middleman in net.values():
        middleman.fair()
    assert results["model"].table.equals(healthy["model"].table)
    nothing_doubled(wards, run, results["model"].rounds)
    assert sum(middleman.lost for middleman in net.values()) >= 1
    print(f"{results['model'].rounds} rounds: fair {fair:.2f} s, foul {foul:.2f} s")


@pytest.mark.long
def test_every_message_three_times_has_one_effect(wards: Processes, net: Net) -> None:
    """C11."""
    for middleman in net.values():
        middleman.copies = 3
    run = wards.project().submit(model())
    results = run.wait(90)
    for middleman in net.values():
        middleman.fair()
    nothing_doubled(wards, run, results["model"].rounds)
    heard = [heard for middleman in net.values() for heard in middleman.heard if len(heard.statuses) == 3]
    assert len(heard) > 3 * results["model"].rounds
    assert all(sorted(message.statuses)[1:] == [403, 403] for message in heard)  # at most one of three is listened to


EFFECTS = ("SELECT count(*) FROM study", "SELECT count(*), count(answer) FROM task", "SELECT * FROM site ORDER BY name")


@pytest.mark.long
def test_recorded_traffic_has_no_second_effect(wards: Processes, net: Net) -> None:
    """C12. Replayed at once all of it is refused, and a day later too.

    A hub that was started again has forgotten the last minute's nonces: until that minute is over it answers to a
    repeated poll, delivery, publication or reading once more, and nothing changes by it.
    """
    researcher = Middleman(wards.home / "hub" / "authority", int(wards.url.rpartition(":")[2]))
    try:
        with through(wards, researcher) as federation:
            run = federation.project(PROJECT).submit(model())
            rounds = run.wait(60)["model"].rounds
        run = wards.researcher().study(run.study)
        nothing_doubled(wards, run, rounds)
        recorded = [message for middleman in (*net.values(), researcher) for message in middleman.heard]
        recorded = [message for message in recorded if message.statuses == [200]]
        assert {message.path.rpartition("/")[2].partition("?")[0] for message in recorded} >= {
            "poll", "deliveries", "preparations", "studies", "results"
        }  # fmt: skip
        assert {researcher.replay(message.raw) for message in recorded} == {403}
        for site in SITES:
            net[site].cut = True  # only what is replayed reaches the hub from here on
        wards.kill("hub")
        wards.start("hub")
        before = state(wards)
        taken = [message for message in recorded if researcher.replay(message.raw) < 400]
        assert {message.raw.split(b" ", 1)[0] for message in taken} == {b"GET", b"POST"}  # the window is real
        assert state(wards) == before
        kinds_of = {message.path.rpartition("/")[2].partition("?")[0] for message in taken} - {run.study}
        assert kinds_of <= {"poll", "deliveries", "publication", "preparations", "results"}  # never a study
        nothing_doubled(wards, run, rounds)
        wards.kill("hub")
        start_at(wards, "hub", "+1d")
        assert {researcher.replay(message.raw) for message in recorded} == {403}
        assert state(wards) == before
    finally:
        researcher.close()
        wards.kill("hub")
        wards.start("hub")
        for site in SITES:
            net[site].fair()


def state(wards: Processes) -> list[Any]:
    """All that a message could change at the hub, but for keys that nobody uses."""
    return [rows(wards, "hub", query) for query in EFFECTS]


def through(wards: Processes, middleman: Middleman) -> Any:
    """The researcher, who speaks with the hub through a middleman."""
    folder = wards.home / "researcher-recorded"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / "researcher.key").exists():
        wards.key.save(folder / "researcher.key")
    address = replace(wards.address(), url=middleman.url)
    return connect(login=save_login(address, folder / "researcher.key", folder))

"""Studies between real processes: they end, they survive kills, they can be stopped, and nothing leaves twice."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from federation_processes import SITES, Processes, alive, descendants, shared_fixture, until, wards_fixture, workers  # noqa: F401  (pytest finds them here)

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.errors import StudyFailed, TooFewSites

ENDED = ("completed", "failed", "cancelled")


def model(**words: Any) -> sj.Plan:
    return sj.Plan(
        table="patients", purpose="HMB", analyses={"model": sj.glm("sick ~ age + lab", family="binomial")}, **words
    )


def count(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


COMPUTES = 1.0  # seconds of processor time, more than starting and loading a worker takes


def long_plan(**words: Any) -> sj.Plan:
    """Minutes of work at Avon."""
    analyses = {f"model{place}": sj.glm("sick ~ age * lab", family="binomial") for place in range(50)}
    return sj.Plan(table="big", purpose="HMB", min_sites=1, analyses=analyses, **words)


def released(wards: Processes, site: str, run: Run) -> list[dict[str, Any]]:
    return list(wards.node(site, "released", study=run.study))


def left(wards: Processes, site: str, run: Run) -> list[dict[str, Any]]:
    return [row for row in released(wards, site, run) if row["bytes"]]


def states(run: Run) -> list[str]:
    return [event["state"] for event in run.view().events]


def test_a_study_between_processes_is_checked_from_end_to_end(wards: Processes) -> None:
    results = wards.project().submit(model()).wait(60)
    assert results.trusted
    assert list(results["model"].table.index) == ["Intercept", "age", "lab"]
    assert results["model"].sites == dict.fromkeys(SITES, "contributed")


def test_cancelling_stops_the_worker_and_nothing_leaves_afterwards(wards: Processes) -> None:
    project = wards.project()
    avon = wards.running["Avon"].pid
    run = project.submit(long_plan(), sites=["Avon"])
    busy = until("a worker with the table", lambda: loaded(wards, avon), 60)
    assert run.cancel()
    until("the worker's end", lambda: not any(alive(pid) for pid in busy), 10)
    assert run.view().state == "cancelled"
    with pytest.raises(StudyFailed, match="cancelled"):
        run.results()
    before = left(wards, "Avon", run)
    hub_before = states(run)
    results = project.submit(count(min_sites=1), sites=["Avon"]).wait(60)
    assert results["count"].sites == {"Avon": "contributed"}
    assert left(wards, "Avon", run) == before
    assert states(run) == hub_before and hub_before[-1] == "cancelled"
    assert not run.cancel()
    rows = wards.node("Avon", "show")["runs"]
    assert {row["study"]: row["ended"] for row in rows}[run.study] == "cancelled"
    until("the tables' removal", lambda: not list((wards.home / "Avon" / "jobs").glob("*/data/population.npz")))


def loaded(wards: Processes, node: int) -> set[int]:
    """The processes of a worker that has been given a table and computes."""
    tables = list((wards.home / "Avon" / "jobs").glob("*/data/population.npz"))
    busy = {pid for pid in workers(node) if seconds(pid) > COMPUTES}
    return busy if tables else set()


def seconds(pid: int) -> float:
    """The processor time of a process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(words[11]) + int(words[12])) / 100


@pytest.mark.long
def test_a_node_that_is_killed_goes_on_where_it_stood(wards: Processes) -> None:
    run = wards.project().submit(model())
    until("a release", lambda: left(wards, "Avon", run))
    below = descendants(wards.running["Avon"].pid)
    assert below
    wards.kill("Avon")
    until("the end of its workers", lambda: not any(alive(pid) for pid in below), 10)
    wards.start("Avon")
    results = run.wait(60)
    assert results.trusted and results["model"].sites["Avon"] == "contributed"
    rows = left(wards, "Avon", run)
    assert len({(row["analysis"], row["round"]) for row in rows}) == len(rows) == results["model"].rounds
    charged = [entry for entry in log(wards, "Avon", run) if entry["kind"] == "ledger.charged"]
    assert len(charged) == 1
    answered = [entry for entry in log(wards, "hub", run) if entry["kind"] == "round.answered"]
    places = [(entry["facts"]["site"], entry["facts"]["ask"]) for entry in answered]
    assert len(places) == len(set(places)) == 3 * results["model"].rounds


def log(wards: Processes, party: str, run: Run) -> list[dict[str, Any]]:
    """The entries of a party's log about a study, read from its database by somebody else."""
    import json
    import sqlite3

    file = wards.home / party / ("hub.db" if party == "hub" else "node.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT data FROM log_entry WHERE study = ? ORDER BY position", (run.study,))
        return [json.loads(data) for (data,) in rows]


def test_a_hub_that_is_killed_goes_on_where_it_stood(wards: Processes) -> None:
    run = wards.project().submit(model())
    until("an answer", lambda: "contributed" in states(run))
    wards.kill("hub")
    wards.start("hub")
    results = wards.researcher().study(run.study).wait(60)
    assert results.trusted and set(results["model"].sites.values()) == {"contributed"}
    for site in SITES:
        assert len(left(wards, site, run)) == results["model"].rounds
        until("acknowledgements", lambda site=site: all(row["acknowledged"] for row in released(wards, site, run)))
    assert wards.hub("verify")["ok"]


@pytest.mark.long
def test_both_ends_stop_in_time_also_with_open_polls_and_a_silent_other_side(wards: Processes) -> None:
    assert wards.stop("Cam") < 8
    assert wards.stop("hub") < 8
    assert wards.stop("Brent") < 8  # its hub is gone
    wards.ensure()
    wards.signal("hub", signal.SIGSTOP)
    try:
        assert wards.stop("Cam") < 8  # its hub neither answers nor refuses
    finally:
        wards.signal("hub", signal.SIGCONT)


def test_a_site_that_stays_silent_is_dropped_after_the_seconds_of_the_plan(wards: Processes) -> None:
    project = wards.project()
    project.submit(count()).wait(60)
    wards.signal("Cam", signal.SIGSTOP)
    try:
        run = project.submit(count(min_sites=2, stragglers=2))
        few = project.submit(count(min_sites=3, stragglers=2))
        results, refused = run.wait(30), few.wait(30)
    finally:
        wards.signal("Cam", signal.SIGCONT)
    assert results["count"].sites == {"Avon": "contributed", "Brent": "contributed", "Cam": "no answer: no answer"}
    with pytest.raises(TooFewSites):
        refused["count"].table  # noqa: B018
    # What Cam says afterwards is thrown away, and Cam hears so: it does not try for ever.
    until("Cam's acknowledgements", lambda: all(row["acknowledged"] for row in released(wards, "Cam", run)), 60)
    assert wards.researcher().study(run.study).results()["count"].sites["Cam"].startswith("no answer")


@pytest.mark.long
def test_a_plan_that_waits_is_completed_when_the_node_comes_back(wards: Processes) -> None:
    project = wards.project()
    wards.stop("Cam")
    run = project.submit(count(stragglers="wait"), sites=list(SITES))
    until("two answers", lambda: states(run).count("contributed") == 2)
    assert run.view().state == "running"
    wards.start("Cam")
    assert run.wait(60)["count"].sites["Cam"] == "contributed"


def test_a_withdrawn_approval_ends_an_aborting_study_soon(wards: Processes) -> None:
    project = wards.project()
    wards.node("Brent", "revoke", project="wards", key=wards.key.public.hex)
    try:
        began = time.monotonic()
        run = project.submit(count(stragglers="abort"))
        until("the end", lambda: run.view().state in ENDED)
        assert time.monotonic() - began < 20
        view = run.view()
        assert view.state == "failed" and "Brent" in view.message
    finally:
        wards.node("Brent", "approve", project="wards", key=wards.key.public.hex)

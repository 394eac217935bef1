"""Answers of masked plans leave at a pace: how soon one comes does not tell whether a site has data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hand_hub import HandHub
from hypothesis import example, given
from hypothesis import strategies as st

import sojourn as sj
from sojourn.hub.drive import Concluded, Ended, Wanted
from sojourn.messages import AskDocument, RoundDocument
from sojourn.node.departures import Departure, wait_of
from sojourn.node.runner import Runner
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam", "Dee")
PACE = 3600.0  # no test waits for it
TABLES = ("seen", "meanwhile", "timers")


def count(table: str, where: str | None = None) -> sj.Plan:
    plan = sj.Plan(table=table, analyses={"n": sj.count(by=["ward"])}, aggregation="masked")
    return plan.replace(where=where) if where else plan


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Dee's custodian does not approve the table `seen`."""
    rows = pd.DataFrame({"ward": ["a", "b"] * 20, "one": ["x"] + ["y"] * 39})
    tables = {site: {name: rows.assign(pid=[f"{site} {n}" for n in range(40)]) for name in TABLES} for site in SITES}
    with Federation(tables, person="pid") as made:
        key = made.project().federation.key.public.hex
        made.nodes["Dee"].approve("testbed", key, [name for name in TABLES if name != "seen"])
        yield made


@pytest.fixture
def runners(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> dict[str, Runner]:
    for node in federation.nodes.values():
        monkeypatch.setattr(node.runner, "_pace", PACE)
    return {site: node.runner for site, node in federation.nodes.items()}


def asked(hub: HandHub, runner: Runner, site: str, ask: AskDocument) -> tuple[Departure | None, Any]:
    """What waits, and the answer that is stored."""
    task = hub.task(ask)
    departure = runner._answer(task, task.key())
    return departure, runner.store.release(task.study, task.analysis, task.key())


def go(hub: HandHub, runners: dict[str, Runner], until: str = "") -> list[set[object]]:
    """Of each round what could be seen of a site before its time: whether, and how long, its answer waits."""
    seen = []
    while isinstance(state := hub.state(), Wanted) and state.ask.step != until:
        said, waits = {}, set()
        for site in state.asked:
            before = runners[site].store.size
            departure, row = asked(hub, runners[site], site, state.ask)
            waits.add(departure and departure.wait)
            if departure is not None:
                grown = runners[site].store.size - before
                assert row is None and grown == 0  # neither stored nor in the log, whose size the hub sees
                departure.go()
            said[site] = hub.put(site, hub.task(state.ask))
        hub.rounds.append(RoundDocument(ask=state.ask, answers=said))  # type: ignore[arg-type]
        seen.append(waits)
    return seen


def test_a_site_without_data_answers_when_the_others_do(federation: Federation, runners: dict[str, Runner]) -> None:
    hub = HandHub(federation, count("seen"))
    seen = go(hub, runners)
    assert isinstance(hub.state(), Concluded)
    assert all(len(waits) == 1 for waits in seen)
    paced = [hub.rounds[place].ask.step for place, waits in enumerate(seen) if waits == {PACE}]
    assert paced == ["joint.share", "count"]  # no other round opens a record


def test_what_left_while_an_answer_waited_counts(federation: Federation, runners: dict[str, Runner]) -> None:
    """Of two studies tested at the same time, also while the numbers of one wait for their hour."""
    last, first = HandHub(federation, count("meanwhile")), HandHub(federation, count("meanwhile", "one != 'x'"))
    for hub in (last, first):
        go(hub, runners, until="count")
    ask, said = hub.state().ask, {}  # type: ignore[union-attr]
    for node in federation.nodes.values():
        node.runner.end(first.request.study, "cancelled")  # so that it outranks nobody
    waiting = {site: asked(last, runners[site], site, ask)[0] for site in SITES}
    other = HandHub(federation, count("meanwhile"))
    go(other, runners)
    assert isinstance(other.state(), Concluded)
    for site, departure in waiting.items():
        assert departure is not None
        departure.go()
        said[site] = last.put(site, last.task(ask))
    last.rounds.append(RoundDocument(ask=ask, answers=said))  # type: ignore[arg-type]
    end = last.state()
    assert isinstance(end, Ended) and getattr(end.error, "family", "") == "a site's gate"


@pytest.mark.long
def test_a_study_comes_to_its_end_at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """With real timers, through the real hub; three analyses wait side by side."""
    rows = pd.DataFrame({"ward": ["a", "b"] * 20})
    with Federation({site: {"rows": rows} for site in SITES[:3]}) as made:
        for node in made.nodes.values():
            monkeypatch.setattr(node.runner, "_pace", 0.01)
        analyses = {"n": sj.count(by=["ward"]), "all": sj.count()}
        results = made.run(sj.Plan(table="rows", analyses=analyses, aggregation="masked"))
        assert results["n"].table["n"].tolist() == [60, 60] and results["all"].table["n"].tolist() == [120]
        assert not any(node.runner.known() for node in made.nodes.values())


@given(st.floats(0.01, 1e4), st.floats(-5, 1e5))
@example(5.0, 0.0)
@example(5.0, 5.0)
def test_an_answer_leaves_at_a_multiple_of_the_pace_and_never_before_the_first(pace: float, took: float) -> None:
    wait = wait_of(pace, took)
    multiples = (max(took, 0.0) + wait) / pace
    assert 0 <= wait <= pace * (1 + 1e-9)
    assert round(multiples) >= 1 and multiples == pytest.approx(round(multiples), rel=1e-9)


def test_the_pace_of_a_site_is_its_custodians_and_five_seconds_by_default() -> None:
    from sojourn.node.config import NodeHome

    assert NodeHome.__dataclass_fields__["masked_pace"].default == 5.0

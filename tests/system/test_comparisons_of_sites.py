"""Comparisons in masked plans through real hub, node and client code: the bits are right, and no count exists."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd
import pytest
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.client.results import Results
from sojourn.hub.tables import tasks
from sojourn.messages import received
from sojourn.node.tables import masked_sets
from sojourn.testbed import Federation

WARDS = {"east": 8, "north": 10, "south": 14, "west": 4}  # at each of three sites: west has 8 beyond each


def patients() -> pd.DataFrame:
    labels = [ward for ward, persons in WARDS.items() for _ in range(persons)]
    return pd.DataFrame({"ward": labels, "old": [place % 2 == 0 for place in range(len(labels))]})


@pytest.fixture(scope="module")
def three() -> Iterator[Federation]:
    with Federation({site: {"patients": patients()} for site in ("Avon", "Brent", "Cam")}) as federation:
        yield federation


@pytest.fixture(scope="module")
def asked(three: Federation) -> Results:
    """A comparison beside the count that it spares."""
    analyses = {"at_40": sj.at_least(40, by="ward"), "n": sj.count(by="ward")}
    return three.run(sj.Plan(table="patients", analyses=analyses, aggregation="masked"))


def test_a_cell_is_told_where_a_count_is_and_rightly(asked: Results) -> None:
    n, reached = (list(asked[name].table[column]) for name, column in (("n", "n"), ("at_40", "reached")))
    assert [isinstance(cell, Suppressed) for cell in reached] == [isinstance(cell, Suppressed) for cell in n]
    assert reached[-1] == Suppressed()  # west, and another that hides it
    told = [(cell, count >= 40) for cell, count in zip(reached, n, strict=True) if not isinstance(count, Suppressed)]
    assert sorted(told) == [(False, False), (True, True)]


def test_the_client_replays_it_and_says_what_each_party_learns(asked: Results) -> None:
    assert asked.trusted
    assert asked["at_40"].facts["k"] == 40
    assert any("reaches 40" in sentence for sentence in asked["at_40"].secrecy)


def test_no_message_of_a_comparison_holds_a_number(three: Federation, asked: Results) -> None:
    study = asked.study.study
    steps = {row["digest"]: json.loads(row["document"])["step"] for row in three.hub.store.asks_of(study).values()}
    compared = 0
    for row in three.hub.store.rows(select(tasks).where(tasks.c.study == study, tasks.c.analysis != "n")):
        release, step = received(json.loads(row["answer"])), steps[row["ask"]]
        assert not release.ring
        if step.startswith("compare."):
            compared += 1
            assert set(release.told) == ({"opening"} if step == "compare.open" else set())
    assert compared
    assert "count" in steps.values()  # of the analysis n alone


def test_a_comparison_is_remembered_as_the_count_of_its_cells(three: Federation, asked: Results) -> None:
    store, study = three.nodes["Avon"].store, asked.study.study
    rows = store.rows(select(masked_sets).where(masked_sets.c.study == study))
    counted, compared = (
        {(row["label"], row["digest"]) for row in rows if row["analysis"] == name} for name in ("n", "at_40")
    )
    assert counted and compared == counted

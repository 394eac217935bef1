"""Overlaps of sites through real hub, node and client code: the numbers are right, and tell of no few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.client.results import Results
from sojourn.errors import PlanError
from sojourn.hub.tables import tasks
from sojourn.messages import received
from sojourn.node.dictionary import Dictionary
from sojourn.node.tables import overlap_lists
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
# Avon and Brent have 15 in common, Brent and Cam 4, Avon and Cam nobody.
PERSONS = {"Avon": range(40), "Brent": range(25, 70), "Cam": range(66, 110)}
PLAN = sj.Plan(
    table="patients", analyses={"n": sj.count(), "overlap": sj.overlap(most=100)}, aggregation="auto", purpose="HMB"
)


def patients(persons: range, spelled: str) -> pd.DataFrame:
    """One or two rows each; each site writes its identifiers in its own way."""
    numbers = [person for person in persons for _ in range(1 + person % 2)]
    names = [spelled.format(1000 + number) for number in numbers]
    return pd.DataFrame({"person_id": names, "old": [number % 3 == 0 for number in numbers]})


def linkable(dictionary: Dictionary) -> Dictionary:
    return replace(dictionary, linkage="national_id")


@pytest.fixture(scope="module")
def three() -> Iterator[Federation]:
    spelled = dict(zip(SITES, ("NL-{}", "nl{}", "NL {}"), strict=True))
    tables = {site: {"patients": patients(PERSONS[site], spelled[site])} for site in SITES}
    agreed = {site: {"patients": [other for other in SITES if other != site]} for site in SITES}
    with Federation(tables, review=linkable, overlaps=agreed) as federation:
        yield federation


@pytest.fixture(scope="module")
def asked(three: Federation) -> Results:
    return three.run(PLAN)


def told(results: Results) -> dict[tuple[str, str], object]:
    return {place: row["persons"] for place, row in results["overlap"].table.iterrows()}  # type: ignore[misc]


def test_a_number_is_told_where_it_is_large_and_both_agreed(asked: Results) -> None:
    assert asked.trusted
    table = asked["overlap"].table
    assert list(table["why"]) == ["", "not released", "not released"]
    numbers = told(asked)
    assert numbers["Avon", "Brent"] == 15
    assert numbers["Brent", "Cam"] == numbers["Avon", "Cam"] == Suppressed()


def test_how_often_persons_are_counted_again_has_bounds(asked: Results) -> None:
    assert asked["overlap"].facts == {"counted_again_at_least": 15, "counted_again_at_most": None}
    counted = asked["n"].table["n"].item()
    assert counted - 15 >= len(set().union(*PERSONS.values()))
    assert any("1 of 3 pairs" in warning for warning in asked["overlap"].warnings)
    assert any("made-up" in sentence for sentence in asked["overlap"].secrecy)


def test_no_message_holds_a_person_or_a_number_that_is_not_told(three: Federation, asked: Results) -> None:
    study = asked.study.study
    steps = {row["digest"]: json.loads(row["document"])["step"] for row in three.hub.store.asks_of(study).values()}
    words = {"overlap.terms": {"demands", "linkage", "partners", "list", "met"}, "overlap.open": {"opening"}}
    seen: set[tuple[str, tuple[int, ...]]] = set()
    told = {}
    for row in three.hub.store.rows(select(tasks).where(tasks.c.study == study, tasks.c.analysis == "overlap")):
        release, step = received(json.loads(row["answer"])), steps[row["ask"]]
        assert not release.ring  # type: ignore[union-attr]
        seen.add((step, tuple(sorted(len(blob) for blob in release.sealed.values()))))  # type: ignore[union-attr]
        if step == "overlap.tell":
            told[row["site"]] = release.told  # type: ignore[union-attr]
        else:
            assert set(release.told) == words.get(step, set())  # type: ignore[union-attr]
    assert {sizes for step, sizes in seen if step == "overlap.blind"} == {(35_248, 35_248)}  # whoever is in them
    # Of the pair that passed, and no other: the matches, and of both the made-up persons.
    added = told["Avon"]["added"]["0"]
    assert told["Avon"] == told["Brent"] == {"matches": {}, "added": {"0": added}}
    assert told["Cam"] == {"matches": {"0": 15 + added}, "added": {}}


def test_a_list_is_remembered_once_with_whom_it_was_for(three: Federation, asked: Results) -> None:
    store, study = three.nodes["Brent"].store, asked.study.study
    rows = store.rows(select(overlap_lists).where(overlap_lists.c.study == study))
    assert sorted(row["partner"] for row in rows) == ["Avon", "Cam"]
    assert all(len(row["received"]) == 64 for row in rows) and len({row["digest"] for row in rows}) == 1


def test_in_a_rehearsal_no_site_puts_anybody_in_and_nothing_says_so(three: Federation) -> None:
    plan = PLAN.replace(analyses={"overlap": PLAN.analyses["overlap"]})
    results = three.project().rehearse(plan).wait(60)
    assert results.trusted
    assert list(results["overlap"].table["why"]) == ["not released"] * 3
    rows = three.nodes["Avon"].store.rows(select(overlap_lists).where(overlap_lists.c.study == results.study.study))
    assert not rows


def test_a_clear_plan_is_refused_before_it_is_sent(three: Federation) -> None:
    with pytest.raises(PlanError, match="masked plans only"):
        three.run(PLAN.replace(aggregation="clear"))

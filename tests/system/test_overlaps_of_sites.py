"""Overlaps of sites through real hub, node and client code: the numbers are right, and tell of no few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.client.results import Results
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam", "Dee")
# Avon and Brent have 15 in common, Brent and Cam 4, Avon and Cam nobody; Dee agreed with nobody.
PERSONS = {"Avon": range(40), "Brent": range(25, 70), "Cam": range(66, 110), "Dee": range(20)}
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
def four() -> Iterator[Federation]:
    spelled = dict(zip(SITES, ("NL-{}", "nl{}", "NL {}", "NL{}"), strict=True))
    tables = {site: {"patients": patients(PERSONS[site], spelled[site])} for site in SITES}
    agreed = {site: {"patients": [other for other in SITES[:3] if other != site]} for site in SITES}
    with Federation(tables, review=linkable, overlaps=agreed) as federation:
        yield federation


@pytest.fixture(scope="module")
def asked(four: Federation) -> Results:
    return four.run(PLAN)


def told(results: Results) -> dict[tuple[str, str], object]:
    return {place: row["persons"] for place, row in results["overlap"].table.iterrows()}  # type: ignore[misc]


def test_a_number_is_told_where_it_is_large_and_both_agreed(asked: Results) -> None:
    assert asked.trusted
    table = asked["overlap"].table
    assert list(table["why"]) == ["", "not released", "no agreement", "not released", "no agreement", "no agreement"]
    numbers = told(asked)
    assert numbers["Avon", "Brent"] == 15
    assert numbers["Brent", "Cam"] == numbers["Avon", "Cam"] == Suppressed()


def test_how_often_persons_are_counted_again_has_bounds(asked: Results) -> None:
    assert asked["overlap"].facts == {"counted_again_at_least": 15, "counted_again_at_most": None}
    assert asked["n"].table["n"].item() - 15 == len(set().union(*PERSONS.values())) + 4 + 20  # 4 and Dee's are unknown
    assert any("1 of 6 pairs" in warning for warning in asked["overlap"].warnings)

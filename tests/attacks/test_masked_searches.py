"""Searches by many masked asks that are nearly alike: brackets no finer than T, caps on numbers, alarms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hand_hub import HandHub
from hypothesis import given
from hypothesis import strategies as st

import sojourn as sj
from sojourn.analysis.statistic import Ask
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import Demands, stride
from sojourn.disclosure.joint_forms import grid
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.governance import history
from sojourn.hub.drive import Concluded
from sojourn.messages import AskDocument
from sojourn.study.question import layout_of
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
ROWS = pd.DataFrame({"pid": range(30), "ward": ["a", "b"] * 15})
COUNT = sj.Plan(table="patients", analyses={"n": sj.count(by=["ward"])}, aggregation="masked")
TERMS = AskDocument.of(Ask("joint.terms"))


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Two sites count numbers, the third looks at histories."""
    rules = dict.fromkeys(SITES[:2], StandardPolicy(Parameters(numbers_in_all=5)))
    tables = {site: {"patients": ROWS.assign(pid=[f"{site} {pid}" for pid in ROWS["pid"]])} for site in SITES}
    with Federation(tables, rules=rules | {SITES[2]: None}, person="pid", usual_asks=1) as made:
        yield made


def test_more_numbers_than_an_asker_may_have_are_refused_openly_by_all_who_count(federation: Federation) -> None:
    """Two counts of two cells each; a third would be six numbers: it is refused before anything is tested."""
    for _ in range(2):
        assert isinstance(HandHub(federation, COUNT).go(), Concluded)
    third = HandHub(federation, COUNT)
    assert [third.put(site, third.task(TERMS)) for site in SITES[:2]] == ["capacity"] * 2
    assert isinstance(third.put("Cam", third.task(TERMS)), dict)  # whose custodian has set no bound


def test_ten_times_the_usual_asks_raise_an_alarm_for_masked_plans_too(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "volume", lambda *_: 6)
    node = federation.nodes["Cam"]
    said = []
    for _ in range(8):
        hub = HandHub(federation, COUNT)
        said.append(hub.put("Cam", hub.task(TERMS)))
        node.runner.end(hub.request.study, "cancelled")
    assert isinstance(said[0], dict) and said[-1] == "unusual"
    (alarm,) = node.histories.shown()
    assert alarm["volume"]
    asked = node.histories.asked(federation.project().federation.key.public.hex, node.clock())
    assert [one.outcome for one in asked].count("joint frequency") == sum(isinstance(one, dict) for one in said)


# ---- what a search finds between two asks that pass


def thresholds(terms: int, threshold: int, observations: float, family: str) -> set[int]:
    """From how many persons on a model of so many terms passes, of every total that its joint test looks at."""
    names = [f"x{number}" for number in range(terms)]
    number = Variable(Kind.NUMBER, low=0.0, high=1.0)
    outcome = Variable(Kind.BOOLEAN) if family == "binomial" else number
    variables = with_site({**dict.fromkeys(names, number), "y": outcome}, SITES)
    layout = layout_of(sj.glm(f"y ~ {' + '.join(names)}", family=family), variables)
    totals = {
        place for place, label in enumerate(layout.labels()) if label in ("population", "events") or "cell" in label
    }
    test = layout.test(SITES, SITES, Demands(threshold, 10, observations))
    forms = itertools.chain.from_iterable(itertools.chain.from_iterable(itertools.chain.from_iterable(test.conditions)))
    return {form.high + 1 for form in forms if form.low == 0 and {place for place, _ in form.total} <= totals}


@given(
    st.integers(1, 14),
    st.sampled_from([3, 5, 10, 20, 30]),
    st.sampled_from([0.33, 0.1]),
    st.sampled_from(["gaussian", "binomial"]),
)
def test_models_of_any_size_bracket_a_total_no_closer_than_the_stride(
    terms: int, threshold: int, observations: float, family: str
) -> None:
    found = thresholds(terms, threshold, observations, family)
    assert found and all(least == threshold or least % stride(threshold) == 0 for least in found)
    p = terms + 1
    assert max(found) >= max(threshold, p + 10, int(p / observations))


@given(st.floats(1e-6, 1e9), st.floats(0.5, 1.0))
def test_ranges_that_differ_by_little_are_one_question(most: float, share: float) -> None:
    """A researcher who declares a slightly smaller range each time would search for a sum by what just passes."""
    levels = grid(most)
    assert levels[0] >= 4 * most > levels[1] and np.log2(levels[0]) == round(np.log2(levels[0]))
    assert grid(levels[0] / 4 * share) == levels or share == 0.5

"""The record of a study survives its JSON form bit by bit, and nothing else is read as one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.errors import REASONS
from sojourn.report.record import (
    AnalysisRecord,
    Check,
    Proof,
    Refusal,
    SiteOutcome,
    StudyRecord,
    estimate_from_dict,
    estimate_to_dict,
)

words = st.text(max_size=12)
names = words.filter(lambda word: word != "suppressed")
finite = st.floats(allow_nan=False, allow_infinity=False)
bounds = st.none() | finite | st.integers(0, 10**6)
suppressed = st.builds(Suppressed, bounds, bounds)
cells = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | finite | words | suppressed
facts = st.dictionaries(names, st.recursive(cells, lambda inner: st.lists(inner, max_size=3), max_leaves=5), max_size=3)
plain = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words | st.lists(words), max_size=3)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    index = tuple(draw(st.lists(words, max_size=2)))
    columns = tuple(draw(st.lists(words, max_size=3)))
    row = st.tuples(*[cells] * (len(index) + len(columns)))
    return Estimate(
        index, columns, tuple(draw(st.lists(row, max_size=4))), draw(facts), draw(words), tuple(draw(st.lists(words)))
    )


refusals = st.one_of(
    st.builds(Refusal, st.just("DisclosureRefused"), words, words, st.sampled_from(sorted(REASONS))),
    st.builds(Refusal, st.sampled_from(["TooFewSites", "ConvergenceError", "StudyFailed"]), words, words, words),
)
sizes = st.dictionaries(words, st.integers(0, 10**9), max_size=3)
answered = st.builds(AnalysisRecord, words, plain, estimates(), st.integers(0, 12), st.none(), sizes)
unanswered = st.builds(AnalysisRecord, words, plain, st.none(), st.integers(0, 12), refusals, sizes)
outcomes = st.builds(SiteOutcome, st.sampled_from(["contributed", "not released", "no answer"]), words, words)
records = st.builds(
    StudyRecord,
    title=words,
    purpose=words,
    plan=plain,
    plan_hash=words,
    study=words,
    submitted=words,
    finished=words,
    aggregation=words,
    sites=st.dictionaries(words, st.dictionaries(words, outcomes, max_size=2), max_size=3),
    analyses=st.dictionaries(words, answered | unanswered, max_size=3),
    checks=st.lists(st.builds(Check, words, st.booleans(), words), max_size=2).map(tuple),
    proofs=st.lists(st.builds(Proof, words, st.integers(0), st.integers(0), words), max_size=2).map(tuple),
    hashes=st.dictionaries(words, words, max_size=2),
    watermark=words,
)


@settings(max_examples=60, deadline=None)
@given(records)
def test_a_record_survives_json(record: StudyRecord) -> None:
    text = json.dumps(record.to_dict(), allow_nan=False)
    again = StudyRecord.from_dict(json.loads(text))
    assert again == record
    assert json.dumps(again.to_dict()) == json.dumps(record.to_dict())  # types too: 1, 1.0 and True are equal in Python


def test_a_suppressed_cell_is_a_state_of_its_own_in_json() -> None:
    estimate = Estimate(("a",), ("n",), (("x", Suppressed(1, 9)), ("y", Suppressed())))
    assert estimate_to_dict(estimate)["rows"] == [["x", {"suppressed": [1, 9]}], ["y", {"suppressed": [None, None]}]]


def test_numpy_numbers_become_plain_ones() -> None:
    estimate = Estimate((), ("n", "x"), ((np.int64(3), np.float64(0.5)),))  # type: ignore[arg-type]
    assert json.dumps(estimate_to_dict(estimate)["rows"]) == "[[3, 0.5]]"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        estimate_to_dict(Estimate((), ("n",), ((number,),)))


def test_no_fact_can_pretend_to_be_a_suppressed_cell() -> None:
    with pytest.raises(ValueError, match="reserved"):
        estimate_to_dict(Estimate((), (), (), {"n": {"suppressed": [1, 2]}}))


@pytest.mark.parametrize(
    "cell", [{"suppressed": [1]}, {"suppressed": ["1", 2]}, {"suppressed": 3}, {"suppressed": [1, True]}]
)
def test_a_malformed_suppressed_cell_is_refused(cell: Any) -> None:
    document = estimate_to_dict(Estimate((), ("n",), ((1,),)))
    document["rows"] = [[cell]]
    with pytest.raises(ValueError, match="not a suppressed cell"):
        estimate_from_dict(document)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"title": 5},
        {"checks": [{"name": "a", "ok": 1, "words": ""}]},
        {"checks": [{"name": "a"}]},
        {"sites": {"a": {"m": {"status": "released 3 persons", "family": "", "remedy": ""}}}},
        {"sites": 3},
        {"analyses": {"m": {}}},
        {"proofs": None},
    ],
)
def test_other_documents_are_refused(record: StudyRecord, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not "):
        StudyRecord.from_dict(record.to_dict() | change)


def test_a_missing_field_is_refused(record: StudyRecord) -> None:
    for name in record.to_dict():
        document = record.to_dict()
        del document[name]
        with pytest.raises(ValueError, match="not "):
            StudyRecord.from_dict(document)


def test_an_analysis_has_an_answer_or_a_reason(record: StudyRecord) -> None:
    with pytest.raises(ValueError, match="either"):
        replace(record.analyses["model"], estimate=None)


def test_a_site_that_says_nothing_gave_no_answer(record: StudyRecord) -> None:
    silent = replace(record, sites={"Cleveland": {}})
    assert silent.outcomes("model")["Cleveland"].status == "no answer"

"""The ledger's charges: every set of persons that an analysis makes known, once, with its measures."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.ledger import Charge, charges


def test_the_complete_cases_and_every_cell_are_charged(outputs):
    support = outputs.table([[20, 0], [30, 40]], dimensions=("sex", "stage"), measures=("age",)).support
    found = charges("2026-01", "table1", support)
    assert [(charge.label, charge.measure, len(charge.persons)) for charge in found] == [
        ("population", ("age",), 90),
        ("count[0,0]", ("age", "sex", "stage"), 20),
        ("count[1,0]", ("age", "sex", "stage"), 30),
        ("count[1,1]", ("age", "sex", "stage"), 40),
        ("margin of count[0,·]", ("age", "sex", "stage"), 20),
        ("margin of count[1,·]", ("age", "sex", "stage"), 70),
        ("margin of count[·,0]", ("age", "sex", "stage"), 50),
        ("margin of count[·,1]", ("age", "sex", "stage"), 40),
    ]
    assert {(charge.snapshot, charge.analysis) for charge in found} == {("2026-01", "table1")}


def test_the_levels_of_a_design_are_charged_with_the_columns_of_the_model(outputs):
    support = outputs.model(rules=("events",), levels={"sex=male": 120, "site=Bern": 0}).support
    found = charges("s", "model", replace(support, measures=("sex", "disease")))
    assert [(charge.label, len(charge.persons)) for charge in found] == [("population", 200), ("level sex=male", 120)]
    assert {charge.measure for charge in found} == {("disease", "sex")}


@given(
    persons=st.sets(st.integers(0, 2**32 - 1)),
    measure=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    label=st.text(max_size=20),
)
def test_a_charge_is_stored_and_read_back(persons, measure, label):
    charge = Charge("snapshot", "model", measure, label, BitMap(persons))
    assert Charge.from_dict(json.loads(json.dumps(charge.to_dict()))) == charge


@pytest.mark.parametrize(
    "change",
    [
        {"persons": "%"},
        {"persons": ""},
        {"persons": 7},
        {"persons": "AAAA"},
        {"measure": "age"},
        {"measure": [7]},
        {"label": 7},
        {"more": 1},
    ],
    ids=str,
)
def test_anything_but_a_charge_is_not_read(change):
    document = Charge("snapshot", "model", ("age",), "population", BitMap([1, 2])).to_dict()
    with pytest.raises(ValueError, match=r"."):
        Charge.from_dict({**document, **change})

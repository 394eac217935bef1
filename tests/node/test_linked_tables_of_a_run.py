"""Tables of one run are judged together: what was released first is settled, and the next one hides what it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Suppressed
from sojourn.disclosure import policy
from sojourn.disclosure.linked import beside
from sojourn.disclosure.output import Verdict
from sojourn.testbed import Federation

CELLS = [("u", "x", "k", 30), ("u", "y", "k", 6), ("u", "y", "l", 30), ("v", "x", "l", 40), ("v", "y", "l", 35)]


@pytest.fixture
def ward():
    rows = [(a, b, c) for a, b, c, count in CELLS for _ in range(count)]
    with Federation({"Avon": {"patients": pd.DataFrame(rows, columns=["a", "b", "c"])}}) as federation:
        yield federation


def run(ward, *analyses):
    plan = sj.Plan(table="patients", min_sites=1, analyses=dict(analyses))
    return ward.run(plan)


def test_the_next_table_is_judged_beside_what_left_first(ward, monkeypatch):
    handed = []

    def spy(output, finding, earlier, *rest):
        handed.append((output, list(earlier)))
        return beside(output, finding, earlier, *rest)

    monkeypatch.setattr(policy, "beside", spy)
    results = run(ward, ("first", sj.crosstab("a", "b")), ("second", sj.crosstab("b", "c")))
    (first, before), (second, after) = sorted(handed, key=lambda call: len(call[1]))
    assert before == [] and {first.support.cells[0].dimensions, second.support.cells[0].dimensions} == {
        ("a", "b"),
        ("b", "c"),
    }
    (released,) = (table for table in after if len(table.dimensions) == 2)  # its margins are tables too
    assert tuple(name.partition(":")[0] for name in released.dimensions) == first.support.cells[0].dimensions
    answer = next(
        one["answer"]["release"]["partial"]
        for one in ward.nodes["Avon"].released(results.study.study)
        if one["analysis"] == ("first" if first.support.cells[0].dimensions == ("a", "b") else "second")
    )
    left = Partial.from_dict(answer)
    assert released.settled and (released.hidden == left.hidden("count")).all()
    assert (np.where(released.hidden, 0, released.counts) == left["count"]).all()


def test_what_the_link_demands_is_hidden(ward, monkeypatch):
    """Planted: a link that hides the whole second table."""

    def all_of_it(output, finding, earlier, *rest):
        word = beside(output, finding, earlier, *rest)
        if not earlier:
            return word
        masks = {"count": np.ones(output.partial["count"].shape, dtype=bool)}
        return replace(finding, verdict=Verdict.SUPPRESS, family="minimum frequency", cells=masks)

    monkeypatch.setattr(policy, "beside", all_of_it)
    results = run(ward, ("first", sj.count(by=["a"])), ("second", sj.crosstab("a", "b")))
    hidden = [all(isinstance(n, Suppressed) for n in results[name].table["n"]) for name in ("first", "second")]
    assert sorted(hidden) == [False, True]

"""Check and charge are one: of two answers that tell of few together, asked at the same moment, one leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pyroaring import BitMap
from sqlalchemy import func, select

import sojourn as sj
from sojourn.audit.entry import Entry
from sojourn.disclosure.ledger import Charge
from sojourn.errors import SojournError
from sojourn.node.decisions import decision
from sojourn.node.store import LedgerGrew
from sojourn.node.tables import person_sets
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

SITE = "Bern"
TABLE = pd.DataFrame({"person_id": range(300), "record": np.arange(300.0), "income": np.arange(300.0) * 7 + 1000})


@pytest.fixture
def federation():
    with Federation({SITE: {"persons": TABLE}}) as federation:
        yield federation


def plan(where: str = "") -> Plan:
    asked = {"ask": sj.describe("income")}
    return Plan(table="persons", where=where, analyses=asked, min_sites=1, purpose="NRES")


def released(result) -> bool:
    try:
        return len(result.table) > 0
    except SojournError:
        return False


def test_of_studies_at_the_same_moment_no_two_differ_by_few(federation):
    project = federation.project()
    wheres = ["", *(f"record != {person}" for person in range(5))]
    running = [project.submit(plan(where)) for where in wheres]
    assert sum(released(run.wait(60)["ask"]) for run in running) == 1


def test_a_judgement_that_did_not_know_the_newest_entry_stores_nothing(federation):
    study = federation.project().submit(plan())
    study.wait(60)
    store = federation.nodes[SITE].store
    newest, _ = store.ledger_after("persons", 0)
    row = decision(study.study, "more", "f" * 64, 1, 0.0)
    charge = Charge("s", "more", (), "population", BitMap(range(50)))
    entry = Entry("release.refused", "node:Bern", study=study.study)
    with pytest.raises(LedgerGrew):
        store.seal(row, entry, [charge], "persons", newest - 1)
    assert store.release(study.study, "more", "f" * 64) is None
    assert store.ledger_after("persons", 0)[0] == newest
    assert store.seal(row, entry, [charge], "persons", newest) == newest + 1


def test_the_node_judges_again_where_the_ledger_grew(federation, monkeypatch):
    """A release of another program, between the judgement and the commit, is known at the second judgement."""
    node = federation.nodes[SITE]
    seal, sealed = type(node.store).seal, []

    def late(store, row, entry, charges=(), dataset="", after=None, also=None):
        if charges and not sealed:
            sealed.append(row["study"])
            near = Charge("s", "other", ("income",), "population", BitMap(range(1, 300)))
            other = decision("e" * 32, "other", "e" * 64, 1, 0.0)
            seal(store, other, Entry("release.refused", "node:Bern", study="e" * 32), [near], dataset)
        return seal(store, row, entry, charges, dataset, after, also)

    monkeypatch.setattr(type(node.store), "seal", late)
    assert not released(federation.run(plan())["ask"])
    assert sealed


def test_a_set_is_stored_once(federation):
    for _ in range(2):
        federation.run(plan())
    store = federation.nodes[SITE].store
    _, entries = store.ledger_after("persons", 0)
    assert len(entries) > 1
    assert store.row(select(func.count().label("sets")).select_from(person_sets))["sets"] == len(
        {entry.digest for entry in entries}
    )


def test_identical_asks_get_identical_bytes(federation):
    """A local part is a pure function of plan and snapshot, and what left is not computed again: one charge."""
    node, project = federation.nodes[SITE], federation.project()
    runs = []
    for _ in range(2):
        runs.append(project.submit(plan("record >= 100")))
        runs[-1].wait(60)
    left = [[one["answer"]["release"]["partial"] for one in node.released(run.study)] for run in runs]
    assert left[0] == left[1] and len(left[0]) == 2
    known = [node.store.charged(run.study, "ask") for run in runs]
    assert known[0] == known[1] and node.store.ledger_of(runs[1].study) == []


def test_a_declared_core_keeps_plans_of_other_columns_apart_from_each_other_s_missing_values():
    """Three persons lack an income: without a core the second plan is refused, with one both have one population."""
    table = TABLE.assign(age=TABLE["record"] % 60 + 20.0)
    table.loc[[5, 50, 150], "income"] = np.nan
    seen = []
    for core in ((), ("income",)):
        reviewed = {"review": lambda dictionary, core=core: replace(dictionary, core=core)}
        with Federation({SITE: {"persons": table}}, **reviewed) as one:
            asked = [{"ask": sj.describe(name)} for name in ("income", "age")]
            plans = [Plan(table="persons", analyses=ask, min_sites=1, purpose="NRES") for ask in asked]
            seen.append([released(one.run(each)["ask"]) for each in plans])
    assert seen == [[True, False], [True, True]]

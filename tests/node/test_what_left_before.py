"""What left before is known when more is asked: repeated bytes, counted numbers, and tables audited together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select, update

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.audit.entry import Entry
from sojourn.client.studies import Run
from sojourn.disclosure import policy
from sojourn.disclosure.linked import beside
from sojourn.disclosure.output import Finding, Output, Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import APPROVE, Vote
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.node.computing import Computation
from sojourn.node.review_view import listed
from sojourn.node.service import Node
from sojourn.node.tables import releases, shown_tables
from sojourn.testbed import Federation

SITE, CAPPED, CHECKED = "Bern", "Chur", "Genf"
PERSONS = 360


def people() -> pd.DataFrame:
    number = np.arange(PERSONS)
    noise = np.random.default_rng(4).normal(size=PERSONS)
    return pd.DataFrame(
        {
            "record": number.astype(float),
            "age": 40.0 + number % 30,
            "bmi": 20.0 + noise,
            "a": np.where(number % 3 == 0, "x", "y"),
            "b": np.where(number % 2 == 0, "u", "v"),
            "c": np.where(number % 5 < 2, "k", "l"),
        }
    )


@pytest.fixture(scope="module")
def sites() -> Iterator[Federation]:
    """One site under the default rules, one with caps on numbers, and one where people see tables of two dimensions."""
    capped = StandardPolicy(Parameters(numbers=20, numbers_in_all=40))
    tables = {site: {"people": people()} for site in (SITE, CAPPED, CHECKED)}
    rules = {SITE: StandardPolicy(), CAPPED: capped, CHECKED: StandardPolicy(Parameters(dimensions=1))}
    with Federation(tables, rules=rules) as federation:
        yield federation
        for node in federation.nodes.values():
            assert node.store.verify().ok


def asked(sites: Federation, *, site: str = SITE, where: str = "", **analyses: Any) -> Run:
    plan = sj.Plan(table="people", where=where, analyses=analyses, min_sites=1, purpose="NRES")
    run = sites.project().submit(plan, sites=[site])
    run.wait(30)
    return run


def rows(node: Node, run: Run) -> list[Any]:
    return node.store.rows(select(releases).where(releases.c.study == run.study).order_by(releases.c.round))


def partials(node: Node, run: Run) -> list[Any]:
    return [json.loads(row["answer"])["release"]["partial"] for row in rows(node, run) if row["answer"]]


def waits(node: Node) -> dict[str, Any]:
    end = time.monotonic() + 30
    while not (found := listed(node.desk, False)):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found[0]


def approve(node: Node, key: PrivateKey, held: dict[str, Any]) -> str:
    said = Vote(held["review"], held["sha256"], APPROVE, "looked at it", conditions=(), for_run=False, hide=(), time=1)
    return str(node.desk.vote(said.signed(key).to_dict())["state"])


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The analyses that are computed."""
    seen: list[str] = []
    really = Computation.round

    def noted(self: Computation, analysis: str, ask: Any) -> Any:
        seen.append(analysis)
        return really(self, analysis, ask)

    monkeypatch.setattr(Computation, "round", noted)
    return seen


class TestIdenticalAsks:
    def test_the_stored_bytes_leave_again_and_nothing_is_computed_or_charged(self, sites, computed):
        node = sites.nodes[SITE]
        first = asked(sites, where="record >= 20", ages=sj.describe("age", by="a"))
        newest, _ = node.store.ledger_after("people", 0)
        assert computed == ["ages", "ages"]
        second = asked(sites, where="record >= 20", again=sj.describe("age", by="a"))
        assert computed == ["ages", "ages"]
        assert partials(node, first) == partials(node, second) and len(partials(node, second)) == 2
        assert node.store.ledger_after("people", 0)[0] == newest and node.store.ledger_of(second.study) == []
        assert [(row["first_study"], row["first_analysis"]) for row in rows(node, second)] == [
            (first.study, "ages")
        ] * 2
        headers = [json.loads(row["answer"])["release"]["header"] for row in rows(node, second)]
        assert {(header["study"], header["analysis"]) for header in headers} == {(second.study, "again")}
        assert second.wait(30)["again"].table.equals(first.wait(30)["ages"].table)
        third = asked(sites, where="record >= 20", ages=sj.describe("age", by="a"))  # of the first, not of the second
        assert {row["first_study"] for row in rows(node, third)} == {first.study} and third.wait(30).trusted

    @pytest.mark.parametrize(
        "other",
        [
            {"where": "record >= 100", "n": sj.count(by="b")},
            {"n": sj.count(by="c")},
            {"n": sj.count(by="b"), "more": sj.describe("age")},
        ],
    )
    def test_what_differs_is_computed(self, sites, computed, other):
        """Another selection, another analysis, and further columns, which may make another population."""
        asked(sites, n=sj.count(by="b"))
        computed.clear()
        asked(sites, **other)
        assert "n" in computed

    def test_who_writes_into_the_store_lets_nothing_out(self, sites):
        node = sites.nodes[SITE]
        first = asked(sites, where="record >= 40", n=sj.count(by="a"))
        (row,) = rows(node, first)
        forged = json.loads(row["answer"])
        count = Partial.from_dict(forged["release"]["partial"])["count"]
        forged["release"]["partial"] = Partial({"count": count + 1}).to_dict()
        same = update(releases).where(releases.c.study == first.study)
        entry = Entry("release.refused", f"node:{SITE}", study=first.study)
        node.store.write(entry, lambda connection: connection.execute(same.values(answer=json.dumps(forged))))
        second = asked(sites, where="record >= 40", n=sj.count(by="a"))
        assert partials(node, second) == [] and [row["reason"] for row in rows(node, second)] == ["internal"]

    def test_a_study_that_goes_on_otherwise_shows_what_was_charged(self, sites, monkeypatch):
        """Its first answer is a repetition, its second is computed: the sets are known by the first study's charge."""
        node = sites.nodes[SITE]
        first = asked(sites, where="record >= 60", ages=sj.describe("age", by="b"))
        (later,) = [row["question"] for row in rows(node, first) if row["round"] == 2]
        same = update(releases).where(releases.c.question == later).values(question="")
        entry = Entry("release.refused", f"node:{SITE}", study=first.study)
        node.store.write(entry, lambda connection: connection.execute(same))
        second = asked(sites, where="record >= 60", ages=sj.describe("age", by="b"))
        assert [row["first_study"] for row in rows(node, second)] == [first.study, ""]
        assert node.store.ledger_of(second.study) == [] and partials(node, second) == partials(node, first)


class TestCapacity:
    def test_all_rounds_of_an_analysis_count(self, sites):
        """The first round has 4 numbers, the second 10, the third 11: twenty are all that there are."""
        node = sites.nodes[CAPPED]
        run = asked(sites, site=CAPPED, where="record >= 30", model=sj.glm("bmi ~ age + a"))
        assert [(row["reason"], row["numbers"]) for row in rows(node, run)] == [("", 4), ("", 10), ("capacity", 0)]
        with pytest.raises(DisclosureRefused) as refused:
            _ = run.wait(30)["model"].table
        assert refused.value.family == "capacity"

    def test_one_asker_gets_so_many_in_all_and_what_is_repeated_counts_once(self, sites):
        node = sites.nodes[CAPPED]
        tables = {name: sj.crosstab("a", name) for name in ("b", "c")} | {"d": sj.count(by=["a", "b", "c"])}
        left = [asked(sites, site=CAPPED, n=table) for table in [tables["b"]] * 4 + [tables["c"]]]
        edges = [40, 43, 46, 49, 52, 55, 58, 61, 64, 67, 70]
        wider = [asked(sites, site=CAPPED, n=one) for one in (tables["d"], sj.histogram("age", edges=edges))]
        again = asked(sites, site=CAPPED, n=tables["b"])
        assert [row["numbers"] for run in left for row in rows(node, run)] == [8] * 5  # cells and margins
        assert [row["reason"] for run in wider for row in rows(node, run)] == ["", "capacity"]
        assert [row["reason"] for row in rows(node, again)] == [""]
        total = {row["question"]: row["numbers"] for row in node.store.rows(select(releases)) if row["numbers"]}
        assert sum(total.values()) == 14 + 8 + 8 + 8
        fresh = asked(sites, n=tables["c"])  # the other site has no cap
        assert [row["reason"] for row in rows(sites.nodes[SITE], fresh)] == [""]


class TestLinkedTables:
    def test_a_table_is_judged_beside_those_of_other_studies(self, sites, monkeypatch):
        handed = []

        def spy(output, finding, earlier, *rest):
            handed.append([one.dimensions for one in earlier])
            return beside(output, finding, earlier, *rest)

        monkeypatch.setattr(policy, "beside", spy)
        asked(sites, where="record >= 80", first=sj.crosstab("a", "b"), whole=sj.describe("age", by="c"))
        handed.clear()
        asked(sites, where="record >= 80", second=sj.crosstab("b", "c"), ages=sj.describe("age", by="a"))
        assert any([name.partition(":")[0] for name in one] == ["a", "b"] for call in handed for one in call)
        handed.clear()
        asked(sites, where="record >= 110", third=sj.crosstab("b", "c"))  # other persons: nothing is linked
        assert handed == [[]]

    def test_a_held_table_is_judged_beside_what_left_meanwhile(self, sites, monkeypatch):
        """Planted: a link that hides the first line beside any other table. Checkers must see what is left of it."""
        node, key = sites.nodes[CHECKED], PrivateKey.generate()
        node.desk.enrol("Carol", key.public.hex)
        plan = sj.Plan(table="people", analyses={"n": sj.crosstab("a", "b")}, min_sites=1, purpose="NRES")
        run = sites.project().submit(plan, sites=[CHECKED])
        held = waits(node)
        asked(sites, site=CHECKED, n=sj.count(by="a"), m=sj.count(by="b"))

        def strict(output: Output, finding: Finding, earlier: Any, *rest: Any) -> Finding | None:
            mask = np.array([[True, True], [False, False]])
            return Finding(Verdict.SUPPRESS, "minimum frequency", {"count": mask}) if earlier else None

        monkeypatch.setattr(policy, "beside", strict)
        assert approve(node, key, held) == "open"
        now = waits(node)
        assert now["sha256"] != held["sha256"] and approve(node, key, now) == "approved"
        run.wait(30)
        assert [partial["suppressed"] for partial in partials(node, run)] == [{"count": [0, 1]}]
        plan = replace(plan, analyses={"again": sj.crosstab("a", "b")})  # what a person let out is for one study
        other = sites.project().submit(plan, sites=[CHECKED])
        assert waits(node)["study"] == other.study

    def test_histograms_of_other_bins_are_no_one_dimension(self, sites):
        bins = [sj.histogram("age", edges=edges) for edges in ([40, 43, 60], [40, 50, 60])]
        run = asked(sites, where="record >= 90", one=bins[0], other=bins[1])
        assert all(row["reason"] == "" for row in rows(sites.nodes[SITE], run))
        found = sites.nodes[SITE].store.rows(select(shown_tables).where(shown_tables.c.study == run.study))
        assert len({json.loads(row["document"])["dimensions"][0] for row in found}) == 2

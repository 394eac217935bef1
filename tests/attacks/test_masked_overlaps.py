"""Two masked studies whose sums would differ by few: tested at the same time, beside a site that vanishes or forgets.

Each test has a table of its own, as what one study shows counts for the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
from hand_hub import HandHub
from naive_masks import summed
from recorded import Figures

import sojourn as sj
from sojourn.disclosure.joint_questions import Told
from sojourn.hub.drive import Concluded, Ended, Wanted
from sojourn.messages import RoundDocument, received
from sojourn.node.admission import Run
from sojourn.node.computing import Computation
from sojourn.node.masked_store import MaskedStore
from sojourn.study.remembered import Remembered
from sojourn.testbed import Federation

pytestmark = pytest.mark.long

SITES = ("Avon", "Brent", "Cam", "Dee")
TABLES = (
    "same",
    "swapped",
    "crosswise",
    "late",
    "rosters",
    "apart",
    "two",
    "gone",
    "never",
    "forgotten",
    "vetoed",
    "invented",
    "over",
)
FEW = {("Dee", "gone"): 4}


def patients(site: str, rows: int = 30) -> pd.DataFrame:
    wards = (["a", "b"] * rows)[:rows]
    one = ["x" if site == "Avon" and number == 0 else "y" for number in range(rows)]
    half = ["first" if number // 2 % 2 == 0 else "second" for number in range(rows)]
    pids = [f"{site} {number}" for number in range(rows)]
    return pd.DataFrame({"pid": pids, "ward": wards, "one": one, "half": half})


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    tables = {site: {table: patients(site, FEW.get((site, table), 30)) for table in TABLES} for site in SITES}
    with Federation(tables, person="pid") as made:
        yield made


def count(table: str, where: str | None = None) -> sj.Plan:
    plan = sj.Plan(table=table, analyses={"n": sj.count(by=["ward"])}, aggregation="masked")
    return plan.replace(where=where) if where else plan


def shown(end: Wanted | Concluded | Ended) -> list[object]:
    """The counts; or the family of the refusal."""
    if isinstance(end, Ended):
        return [getattr(end.error, "family", "")]
    assert isinstance(end, Concluded)
    return [row[-1] for row in end.estimate.rows]


@contextmanager
def withheld(federation: Federation, table: str) -> Iterator[None]:
    """Dee's custodian does not approve this table."""
    node, key = federation.nodes["Dee"], federation.project().federation.key.public.hex
    node.approve("testbed", key, sorted(set(TABLES) - {table}))
    try:
        yield
    finally:
        node.approve("testbed", key, list(TABLES))


# ---- two studies at the same time


def test_analyses_of_one_plan_have_their_sums_side_by_side(federation: Federation) -> None:
    """Through the real hub, which the nodes leave in the tests after this one."""
    analyses = {"n": sj.count(by=["ward"]), "all": sj.count()}
    results = federation.run(count("two").replace(analyses=analyses))
    assert results["n"].table["n"].tolist() == [60, 60] and results["all"].table["n"].tolist() == [120]


@pytest.mark.parametrize("order", ["same", "swapped", "crosswise"])
def test_of_two_studies_that_are_tested_at_the_same_time_the_lower_id_has_its_sum(
    federation: Federation, figures: Figures, order: str
) -> None:
    """Neither joint test can know of the other's sum: without Avon's one person it would differ by her."""
    last, first = HandHub(federation, count(order)), HandHub(federation, count(order, "one != 'x'"))
    due = [hub.go(until="count") for hub in (first, last)]
    hubs = [(first, *due[:1]), (last, *due[1:])]
    said: dict[int, dict[str, Any]] = {0: {}, 1: {}}
    for place, site in enumerate(SITES):
        backwards = order == "swapped" or (order == "crosswise" and place % 2)
        for number in (1, 0) if backwards else (0, 1):
            hub, wanted = hubs[number]
            assert isinstance(wanted, Wanted)
            said[number][site] = hub.put(site, hub.task(wanted.ask))
    for number, (hub, wanted) in enumerate(hubs):
        assert isinstance(wanted, Wanted)
        hub.rounds.append(RoundDocument(ask=wanted.ask, answers=said[number]))
    assert shown(first.state()) == [59, 60]
    assert shown(last.state()) == ["a site's gate"]
    everybody = {site: [15, 15] for site in SITES}
    assert (summed(everybody) - summed(everybody | {"Avon": [14, 15]})).tolist() == [1, 0]
    figures(
        "A21",
        f"two masked counts at once ({order}), one without one person; neither's test knows of the other's sum",
        without="one person's ward, from two sums under masks",
        with_defence="the sum of the lower id: the other's numbers are vetoed by what was charged since its test",
        mark="no difference",
        benign="the first sum is shown",
    )


def test_a_study_that_was_given_up_stands_in_no_ones_way(federation: Federation) -> None:
    """One of four sites had given its numbers to it, three had told their terms."""
    last = HandHub(federation, count("over"))
    given_up = HandHub(federation, count("over", "one != 'x'"))
    due = given_up.go(until="count")
    assert isinstance(due, Wanted)
    assert isinstance(given_up.put("Avon", given_up.task(due.ask)), dict)
    for node in federation.nodes.values():
        node.runner.end(given_up.request.study, "cancelled")
    assert shown(last.go()) == [60, 60]


def test_a_site_whose_numbers_were_held_back_does_not_give_them_later(federation: Federation) -> None:
    """Dee alone does not know yet that the first study has a sum, so that the second one's test does not ask for it."""
    first, second = HandHub(federation, count("late")), HandHub(federation, count("late", "one != 'x'"))
    due = first.go(until="count")
    assert isinstance(due, Wanted)
    said = {site: first.put(site, first.task(due.ask)) for site in SITES[:3]}
    second.go()
    said["Dee"] = first.put("Dee", first.task(due.ask))
    first.rounds.append(RoundDocument(ask=due.ask, answers=said))  # type: ignore[arg-type]
    sums = [shown(first.state()), shown(second.state())]
    assert ["a site's gate"] in sums or ["joint frequency"] in sums


def test_two_rosters_that_are_tested_at_the_same_time_give_one_sum(federation: Federation) -> None:
    whole, smaller = HandHub(federation, count("rosters")), HandHub(federation, count("rosters"), sites=[*SITES[:3]])
    whole.go(until="count")
    due = smaller.go(until="count")
    assert isinstance(due, Wanted)
    assert shown(whole.go()) == [60, 60]
    assert {smaller.put(site, smaller.task(due.ask)) for site in SITES[:3]} == {"roster differs"}
    assert shown(HandHub(federation, count("rosters")).go()) == [60, 60]  # which ends nothing for the whole roster


def test_studies_one_after_the_other_have_their_sums(federation: Federation) -> None:
    assert shown(HandHub(federation, count("apart")).go()) == [60, 60]
    assert shown(HandHub(federation, count("apart")).go()) == [60, 60]


# ---- sites that vanish


def test_a_site_that_takes_part_with_nothing_after_a_sum_does_not_show_by_its_absence(
    federation: Federation, figures: Figures
) -> None:
    """Dee has four patients: with her and without, two totals would tell all about them."""
    assert shown(HandHub(federation, count("gone")).go()) == [47, 47]
    with withheld(federation, "gone"):
        assert shown(HandHub(federation, count("gone")).go()) == ["joint frequency"]
        half = HandHub(federation, count("gone", "half == 'first'"))
        assert shown(half.go()) == [24, 24]  # beside the others' fifteen who are gone too, four are hidden
    three = {site: [15, 15] for site in SITES[:3]}
    assert (summed(three | {"Dee": [2, 2]}) - summed(three | {"Dee": [0, 0]})).tolist() == [2, 2]
    figures(
        "D16",
        "the same masked sum again when a site's custodian has withdrawn its table",
        without="the site's 2 cells of two persons each, from two sums under masks",
        with_defence="hidden: the joint test counts who of the earlier sum is gone",
        mark="no count below T",
        benign="the sum is shown again when the site is back",
    )


def test_a_site_that_had_nothing_before_has_nothing_to_hide(federation: Federation) -> None:
    with withheld(federation, "never"):
        assert shown(HandHub(federation, count("never")).go()) == [45, 45]
        assert shown(HandHub(federation, count("never")).go()) == [45, 45]


# ---- what the next study's terms tell of the one before


def test_the_next_terms_do_not_tell_who_vetoed(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = HandHub(federation, count("vetoed"))
    due = hub.go(until="count")
    assert isinstance(due, Wanted)
    said = {}
    for site in SITES:
        with monkeypatch.context() as patched:
            if site == "Brent":
                patched.setattr(Computation, "round", lambda *_: 1 / 0)
            said[site] = hub.put(site, hub.task(due.ask))
    hub.rounds.append(RoundDocument(ask=due.ask, answers=said))  # type: ignore[arg-type]
    assert shown(hub.state()) == ["a site's gate"]
    following = HandHub(federation, count("vetoed"))
    following.go(rounds=1)
    told = [json.dumps(received(answer).told) for answer in following.rounds[0].answers.values()]  # type: ignore
    assert len(set(told)) == 1 and json.loads(told[0])["told"]
    assert shown(following.go()) == [60, 60]  # what nobody saw does not stand in the way of the same sum


def test_sites_that_forget_do_not_end_the_comparison_for_the_others(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    assert shown(HandHub(federation, count("forgotten")).go()) == [60, 60]
    forgetful = [federation.nodes[site].runner.store for site in SITES[2:]]
    remembered, told = MaskedStore.remembered, MaskedStore.told

    def some(store: MaskedStore, run: Run) -> list[Remembered]:
        return [] if store.store in forgetful else remembered(store, run)

    def parts(store: MaskedStore, run: Run, name: str, labels: tuple[str, ...], changes: Any) -> Told:
        return Told(name, labels, ()) if store.store in forgetful else told(store, run, name, labels, changes)

    monkeypatch.setattr(MaskedStore, "remembered", some)
    monkeypatch.setattr(MaskedStore, "told", parts)
    assert shown(HandHub(federation, count("forgotten", "one != 'x'")).go()) == ["joint frequency"]
    assert shown(HandHub(federation, count("forgotten")).go()) == [60, 60]  # as after a crash: the same sum again
    everybody = {site: [15, 15] for site in SITES}
    assert (summed(everybody) - summed(everybody | {"Avon": [14, 15]})).tolist() == [1, 0]
    figures(
        "A01",
        "two masked counts, one without one person, where two of four sites have lost what they had summed",
        without="one person's ward, from two sums under masks",
        with_defence="hidden: what any site remembers is compared with",
        mark="no difference",
        benign="the first sum is shown again",
    )


@pytest.mark.parametrize("number", [1, 19_999])
def test_a_site_that_invents_earlier_sums_changes_nothing(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    liar, remembered = federation.nodes["Dee"].runner.store, MaskedStore.remembered

    def invented(store: MaskedStore, run: Run) -> list[Remembered]:
        labels = ("population", *(f"cell 0 {cell}" for cell in range(number)))
        return [("f" * 64, labels)] if store.store is liar else remembered(store, run)

    monkeypatch.setattr(MaskedStore, "remembered", invented)
    assert shown(HandHub(federation, count("invented")).go()) == [60, 60]

"""Hostile hubs, sites and rosters of masked plans: each finds a node that gives nothing, or a sum that is nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_hub import HandHub, other_broadcast
from naive_masks import summed
from recorded import Figures
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.statistic import Ask
from sojourn.client.aggregation import aggregation_of
from sojourn.errors import DisclosureRefused, DroppedOut, PlanError, StudyFailed
from sojourn.hub.drive import Concluded, Ended, Wanted
from sojourn.identity.keys import PrivateKey
from sojourn.messages import AskDocument, RoundDocument, _signed_bytes, received
from sojourn.node.computing import Computation
from sojourn.node.tables import ledger, masked_sets
from sojourn.secrecy.exchange import ExchangeKey, state
from sojourn.testbed import Federation, derive

pytestmark = pytest.mark.long

SITES = ("Avon", "Brent", "Cam", "Dee")
COUNT = sj.Plan(table="patients", analyses={"n": sj.count(by=["ward"])}, aggregation="masked")
REACHED = sj.Plan(table="patients", analyses={"n": sj.at_least(50, by=["ward"])}, aggregation="masked")
LINE = sj.Plan(table="patients", analyses={"n": sj.glm("size ~ age")}, aggregation="masked")


def patients(seed: int, rows: int = 30) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = random.uniform(0, 1, rows)
    return pd.DataFrame(
        {"age": age, "size": np.clip(age + random.uniform(0, 1, rows), 0, 2), "ward": ["a", "b"] * (rows // 2)}
    )


def bounded(dictionary: Any) -> Any:
    columns = dict(dictionary.columns)
    columns["age"] = replace(columns["age"], low=0.0, high=1.0)
    columns["size"] = replace(columns["size"], low=0.0, high=2.0)
    return replace(dictionary, columns=columns)


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    tables = {site: {"patients": patients(seed)} for seed, site in enumerate(SITES)}
    with Federation(tables, review=bounded) as made:
        yield made


@pytest.fixture(scope="module")
def online() -> Iterator[Federation]:
    """Sites that listen to their own hub."""
    tables = {site: {"patients": patients(seed), "spare": patients(seed)} for seed, site in enumerate(SITES)}
    with Federation(tables, review=bounded) as made:
        yield made


@pytest.fixture(scope="module")
def lonely(federation: Federation) -> HandHub:
    """A study that has come to its first numbers, which no site has given yet."""
    hub = HandHub(federation, COUNT)
    hub.go(until="count")
    return hub


def test_an_honest_hub_gets_the_sum(federation: Federation) -> None:
    end = HandHub(federation, COUNT).go()
    assert isinstance(end, Concluded)
    assert [row[-1] for row in end.estimate.rows] == [60, 60]


# ---- rosters


def test_a_hub_that_invents_a_site_finds_no_node_that_pinned_it(federation: Federation) -> None:
    hub = HandHub(federation, COUNT)
    key, exchange = PrivateKey.generate(), ExchangeKey.generate()
    hub.sign_again(roster={**hub.request.roster, "Nowhere": key.public.hex})
    stated = state("testbed", "Nowhere", exchange.public, key.sign)
    words = {"key": stated.key, "signature": stated.signature.hex()}
    hub.exchange["Nowhere"] = type(hub.exchange["Avon"]).model_validate(words)
    assert hub.put("Avon", hub.task()) == "not pinned"


def test_a_pinned_site_under_another_key_is_not_pinned(federation: Federation) -> None:
    hub = HandHub(federation, COUNT)
    hub.sign_again(roster={**hub.request.roster, "Cam": PrivateKey.generate().public.hex})
    assert hub.put("Avon", hub.task(ask=hub_terms())) == "not pinned"


def hub_terms() -> Any:
    return AskDocument.of(Ask("joint.terms"))


@pytest.mark.parametrize("lie", ["another key", "no statement", "another's"])
def test_an_exchange_key_is_its_own_sites_word(federation: Federation, lie: str) -> None:
    hub = HandHub(federation, COUNT)
    word = hub.exchange["Cam"]
    if lie == "another key":
        word = word.model_copy(update={"key": ExchangeKey.generate().public})
    elif lie == "another's":
        word = hub.exchange["Dee"]
    exchange = {site: each for site, each in hub.exchange.items() if site != "Cam"}
    exchange |= {} if lie == "no statement" else {"Cam": word}
    assert hub.put("Avon", hub.task(ask=hub_terms(), exchange=exchange)) == "roster"


def test_a_split_circle_is_refused_in_the_middle(federation: Federation) -> None:
    """Cam states a second key, e.g. after a restore; the hub tells it to Avon alone, and only for later rounds."""
    hub = HandHub(federation, COUNT)
    hub.go(rounds=1)
    node = federation.nodes["Cam"]
    stated = state("testbed", "Cam", ExchangeKey.generate().public, node.key.sign)
    second = hub.exchange["Cam"].model_copy(update={"key": stated.key, "signature": stated.signature.hex()})
    assert hub.put("Avon", hub.task(exchange={**hub.exchange, "Cam": second})) == "roster"


def wards(*sites: str) -> dict[str, list[int]]:
    """Each of these sites' patients by ward."""
    return {site: patients(SITES.index(site))["ward"].value_counts().sort_index().tolist() for site in sites}


def test_a_smaller_roster_after_a_sum_is_refused(federation: Federation, figures: Figures) -> None:
    """The hub has a whole sum, claims that Dee dropped out, and would have Dee's part as a difference."""
    assert (summed(wards(*SITES)) - summed(wards(*SITES[:3]))).tolist() == wards("Dee")["Dee"]
    assert isinstance(HandHub(federation, COUNT).go(), Concluded)
    hub = HandHub(federation, COUNT, sites=["Avon", "Brent", "Cam"])
    said = [hub.put(site, hub.task()) for site in SITES[:3]]
    assert said == ["roster differs"] * 3
    assert isinstance(HandHub(federation, COUNT).go(), Concluded)
    figures(
        "A21",
        "a masked sum over four sites, then over three of them",
        without="the fourth site's 2 cells exact, as the difference of two sums under masks",
        with_defence="3 of 3 sites refuse: roster differs",
        mark="a second cohort is refused by all",
        benign="the same sum over the same four sites is answered again",
    )


def test_a_roster_of_two_is_refused(federation: Federation) -> None:
    hub = HandHub(federation, COUNT)
    hub.sign_again(roster={site: hub.request.roster[site] for site in ("Avon", "Brent")})
    exchange = {site: hub.exchange[site] for site in ("Avon", "Brent")}
    assert hub.put("Avon", hub.task(ask=hub_terms(), exchange=exchange)) == "minimum sites"


# ---- rounds


def test_a_place_is_answered_once_and_the_same_bytes_are_sent_again(lonely: HandHub) -> None:
    first = lonely.put("Avon", lonely.task())
    assert isinstance(first, dict)
    assert lonely.put("Avon", lonely.task()) == first
    assert lonely.put("Avon", lonely.task(transcript=lonely.rounds[:1])) == first  # whatever else is told of it


def test_a_claimed_drop_out_gives_no_smaller_sum(lonely: HandHub) -> None:
    rounds = [
        RoundDocument(ask=past.ask, answers={site: word for site, word in past.answers.items() if site != "Dee"})
        for past in lonely.rounds
    ]
    assert lonely.put("Brent", lonely.task(transcript=rounds)) == "broadcast"


def test_rounds_left_out_or_out_of_order_are_refused(federation: Federation) -> None:
    hub = HandHub(federation, COUNT)
    hub.go(until="count")
    assert hub.put("Cam", hub.task(transcript=hub.rounds[:-1])) == "broadcast"
    again = HandHub(federation, COUNT)
    again.go(until="count")
    assert again.put("Cam", again.task(transcript=[*again.rounds[1::-1], *again.rounds[2:]])) == "broadcast"


def test_chosen_coefficients_are_refused(federation: Federation) -> None:
    hub = HandHub(federation, LINE)
    due = hub.go(until="newton")
    assert isinstance(due, Wanted)
    ask = other_broadcast(due.ask, coefficients=[5.0, -3.0])
    assert hub.put("Avon", hub.task(ask)) == "broadcast"


def test_no_study_draws_its_evaluators(federation: Federation) -> None:
    """A researcher who tried until the lot falls on friends would always get the same."""
    questions = [HandHub(federation, plan).question for plan in (COUNT, COUNT, LINE)]
    assert len({one.study for one in questions}) == 3
    assert len({one.evaluators for one in questions}) == 1


def test_a_multiplication_is_asked_in_one_way_alone(federation: Federation) -> None:
    """Nearly the same number would be another place, and one product shared twice."""
    hub = HandHub(federation, COUNT)
    due = hub.go(until="joint.multiply")
    assert isinstance(due, Wanted)
    number = due.ask.ask().broadcast["number"]
    for other in (number + 1e-7, number.astype(float)):
        ask = AskDocument.of(Ask("joint.multiply", {"number": other}))
        assert hub.put(due.asked[0], hub.task(ask)) == "broadcast", other.dtype
    loose = due.ask.model_copy(deep=True)
    loose.broadcast["number"]["data"] = loose.broadcast["number"]["data"].replace("A=", "B=")  # unused bits
    assert isinstance(hub.put(due.asked[0], hub.task(loose)), str)
    assert not isinstance(hub.put(due.asked[0], hub.task(due.ask)), str)


def test_a_site_that_says_two_things_makes_no_sum(federation: Federation) -> None:
    """Dee conspires with the hub and signs two openings, so that two groups of nodes would zero other cells."""
    hub = HandHub(federation, COUNT)
    hub.go(until="joint.open")
    due = hub.state()
    assert isinstance(due, Wanted)
    answers = {site: hub.put(site, hub.task(due.ask)) for site in due.asked}
    one = RoundDocument(ask=due.ask, answers=answers)  # type: ignore[arg-type]
    liar = due.asked[-1]
    other = one.model_copy(update={"answers": {**one.answers, liar: signed_again(federation, one.answers[liar])}})
    before = hub.rounds
    hub.rounds = [*before, one]
    wanted = hub.state()
    assert isinstance(wanted, Wanted)
    told = {site: one if place < 2 else other for place, site in enumerate(wanted.asked)}
    said = {site: hub.put(site, hub.task(wanted.ask, transcript=[*before, told[site]])) for site in wanted.asked}
    hub.rounds.append(RoundDocument(ask=wanted.ask, answers=said))  # type: ignore[arg-type]
    end = hub.state()  # masks of different histories do not cancel
    assert isinstance(end, Ended)


def signed_again(federation: Federation, answer: dict[str, Any]) -> dict[str, Any]:
    """The same word in another document: of another software, as it says."""
    body = json.loads(json.dumps(answer["masked"]))
    body["header"]["software"] += "+"
    key = federation.nodes[body["header"]["site"]].key
    return {"masked": body, "signature": key.sign(_signed_bytes("masked", body)).hex()}


def test_a_node_that_sends_garbage_spoils_the_sum_and_nothing_else(federation: Federation, figures: Figures) -> None:
    """It cannot choose the sum: whatever it sends, the range check or the veto ends it, but for 2^-60."""
    hub = HandHub(federation, COUNT)
    due = hub.go(until="count")
    assert isinstance(due, Wanted)
    answers = {site: hub.put(site, hub.task(due.ask)) for site in due.asked}
    body = json.loads(json.dumps(answers["Dee"]["masked"]))  # type: ignore[index]
    size = len(received(answers["Dee"]).ring)  # type: ignore[arg-type, union-attr]
    body["ring"] = base64.b64encode(np.random.default_rng(1).bytes(size)).decode()
    key = federation.nodes["Dee"].key
    answers["Dee"] = {"masked": body, "signature": key.sign(_signed_bytes("masked", body)).hex()}
    hub.rounds.append(RoundDocument(ask=due.ask, answers=answers))  # type: ignore[arg-type]
    end = hub.state()
    assert isinstance(end, Ended) and getattr(end.error, "family", "") == "a site's gate"
    wrong = summed(wards(*SITES) | {"Dee": [1_000_000, 0]})
    assert wrong.tolist() == [1_000_045, 45]
    figures(
        "A18",
        "one of four sites sends random bytes, or a million where it has 15",
        without="a sum of 1,000,045 instead of 60, where nothing is looked at",
        with_defence="random bytes: the analysis ends, no number is shown (a million is not seen: below)",
        mark="less than one standard error, or seen",
        benign="the sum of four honest sites is shown",
    )


# ---- who takes part with what


def test_a_gate_that_refuses_in_the_middle_ends_it_for_all(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = HandHub(federation, COUNT)
    due = hub.go(until="count")
    assert isinstance(due, Wanted)
    said = {}
    for site in due.asked:
        with monkeypatch.context() as patched:
            if site == "Brent":
                patched.setattr(Computation, "round", lambda *_: 1 / 0)
            said[site] = hub.put(site, hub.task(due.ask))
    assert len({shape_of(answer) for answer in said.values()}) == 1  # type: ignore[arg-type]
    hub.rounds.append(RoundDocument(ask=due.ask, answers=said))  # type: ignore[arg-type]
    end = hub.state()
    assert isinstance(end, Ended) and getattr(end.error, "family", "") == "a site's gate"
    assert "vetoed" in federation.nodes["Brent"].released(hub.request.study)[-1]["note"]


def shape_of(answer: dict[str, Any]) -> tuple[Any, ...]:
    """All of an answer that is not random, or known of its site anyway."""
    release = received(answer)
    header = {word: value for word, value in release.header.to_dict().items() if word not in ("site", "snapshot")}
    sealed = tuple(len(blob) for blob in release.sealed.values())  # type: ignore[union-attr]
    return json.dumps(header), len(release.ring), tuple(release.told), sealed  # type: ignore[union-attr]


# ---- what differs between two sums


def test_values_that_few_persons_changed_are_not_the_difference_of_two_sums(figures: Figures) -> None:
    """Avon's new snapshot has one other value; a mean over the same persons would tell it."""
    means = COUNT.replace(analyses={"n": sj.describe("age")})
    tables = {site: {"patients": patients(seed).reset_index(names="pid")} for seed, site in enumerate(SITES[:3])}
    rows = tables["Avon"]["patients"]
    other = rows.assign(age=np.where(rows["pid"] == 3, 1 - rows["age"], rows["age"]), size=2 - rows["size"])
    then = {site: [float(table["patients"]["age"].sum())] for site, table in tables.items()}
    [gap] = summed(then | {"Avon": [float(other["age"].sum())]}) - summed(then)
    assert np.isclose(gap, 1 - 2 * rows["age"][3])
    with Federation(tables, review=bounded, person="pid") as made:
        avon = made.nodes["Avon"]

        def again(now: pd.DataFrame) -> HandHub:
            path = made.folder / "new.parquet"
            now.to_parquet(path)
            avon.add_dataset(path, bounded(derive(path, "patients", "pid")))
            return HandHub(made, means)

        assert isinstance(HandHub(made, means).go(), Concluded)
        assert isinstance(again(rows.iloc[::-1]).go(), Concluded)  # the same records
        hub = again(other)
        assert isinstance(hub.go(), Ended)
        earlier = [row["snapshot"] for row in avon.store.rows(select(masked_sets.c.snapshot))]
        for path in (avon.home.folder / "datasets").rglob("*"):
            if path.stem in earlier:
                path.unlink()  # what they were is gone, and with it what changed since
        hub = again(other.assign(age=1 - other["age"]))
        assert hub.put("Avon", hub.task()) == "differencing"
    figures(
        "A12",
        "the same masked sum over two snapshots between which one person's value changed",
        without="how much it changed, and with it the value, from two sums under masks",
        with_defence="0 numbers: the joint test counts the persons whose records changed",
        mark="no change before T persons",
        benign="the sum over another order of the same records is shown",
    )


def test_values_that_changed_since_a_clear_release_are_not_the_difference_to_a_masked_sum() -> None:
    """All sites told the same persons' means in clear; Avon's new snapshot has another value of one of them."""
    means = COUNT.replace(analyses={"n": sj.describe("age")})
    tables = {site: {"patients": patients(seed).reset_index(names="pid")} for seed, site in enumerate(SITES[:3])}
    rows = tables["Avon"]["patients"]
    with Federation(tables, review=bounded, person="pid") as made:
        made.run(means.replace(aggregation="clear"))
        avon, path = made.nodes["Avon"], made.folder / "new.parquet"

        def again(changed: Any) -> Wanted | Concluded | Ended:
            rows.assign(age=np.where(changed, 1 - rows["age"], rows["age"]), size=2 - rows["size"]).to_parquet(path)
            avon.add_dataset(path, bounded(derive(path, "patients", "pid")))
            return HandHub(made, means).go()

        for changed in (rows["pid"] == 3, rows["pid"] >= 0):  # also where all are: it is Avon's part alone
            end = again(changed)
            assert isinstance(end, Ended) and getattr(end.error, "family", "") == "joint frequency"
        assert isinstance(again(rows["pid"] < 0), Concluded)
        first = [row["snapshot"] for row in avon.store.rows(select(ledger.c.snapshot))]
        for old in (avon.home.folder / "datasets").rglob("*"):
            if old.stem in first:
                old.unlink()
        rows.iloc[::-1].to_parquet(path)
        avon.add_dataset(path, bounded(derive(path, "patients", "pid")))
        hub = HandHub(made, means)
        assert hub.put("Avon", hub.task()) == "differencing"


# ---- comparisons


def test_a_hub_that_asks_for_the_count_behind_a_comparison_finds_no_node(federation: Federation) -> None:
    hub = HandHub(federation, REACHED)
    hub.go(until="compare.share")
    assert hub.put("Avon", hub.task(AskDocument.of(Ask("count")))) == "broadcast"
    end = hub.go()
    assert isinstance(end, Concluded)
    assert [row[-1] for row in end.estimate.rows] == [True, True]  # of 60 each
    answers = [received(answer) for past in hub.rounds for answer in past.answers.values()]
    assert not any(release.ring for release in answers)  # type: ignore[union-attr]


def test_a_gate_that_refuses_a_comparison_leaves_no_bit_and_no_name(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = HandHub(federation, REACHED)
    due = hub.go(until="compare.share")
    assert isinstance(due, Wanted)
    said = {}
    for site in due.asked:
        with monkeypatch.context() as patched:
            if site == "Brent":
                patched.setattr(Computation, "round", lambda *_: 1 / 0)
            said[site] = hub.put(site, hub.task(due.ask))
    chosen = hub.question.evaluators
    shapes = {(site in chosen, shape_of(answer)) for site, answer in said.items()}  # type: ignore[arg-type]
    assert len(shapes) == 2  # one of those that evaluate, one of the others
    hub.rounds.append(RoundDocument(ask=due.ask, answers=said))  # type: ignore[arg-type]
    end = hub.go()  # no site refuses a later round
    assert isinstance(end, Ended) and getattr(end.error, "family", "") == "a site's gate"
    opened = received(hub.rounds[-1].answers[chosen[0]])
    assert set(opened.told) == {"opening"}  # type: ignore[union-attr]
    assert any("vetoed" in row["note"] for row in federation.nodes["Brent"].released(hub.request.study))


# ---- a site that takes part with nothing: later sums over the four differ by its part


def test_a_site_without_approval_for_the_data_looks_like_the_others() -> None:
    """Of data that were never summed: after a sum with its part, one without it would show that part."""
    tables = {site: {"patients": patients(seed), "other": patients(seed)} for seed, site in enumerate(SITES)}
    with Federation(tables, review=bounded) as made:
        made.nodes["Dee"].approve("testbed", made.project().federation.key.public.hex, ["other"])
        hub = HandHub(made, COUNT)
        end = hub.go()
    assert isinstance(end, Concluded)
    assert [row[-1] for row in end.estimate.rows] == [45, 45]
    for past in hub.rounds:
        shapes = {(site in hub.question.evaluators, shape_of(word)) for site, word in past.answers.items()}
        assert len(shapes) == len({role for role, _ in shapes}), past.ask.step


# ---- through the real hub


def test_a_site_that_drops_out_ends_the_analysis_without_a_sum(online: Federation) -> None:
    key = online.project().federation.key.public.hex
    online.nodes["Cam"].revoke("testbed", key)
    try:
        run = online.project().submit(COUNT.replace(purpose="NRES", table="spare"))
        results = run.wait(60)
    finally:
        online.nodes["Cam"].approve("testbed", key)
    with pytest.raises(DroppedOut, match="Cam"):
        _ = results["n"].table
    assert results["n"].sites["Cam"] == "not released: not approved"
    again = run.restart().wait(60)
    assert again["n"].table["n"].tolist() == [45, 45] and set(again.sites) == set(SITES) - {"Cam"}


def test_a_node_that_states_no_exchange_key_is_named_at_submit(online: Federation) -> None:
    project = online.project()
    request = project.request(COUNT.replace(purpose="NRES"))
    publication = online.nodes["Dee"].publication()
    older = {word: value for word, value in publication.rules.items() if word not in ("exchange", "masking")}
    online.hub.publish("Dee", publication.model_copy(update={"rules": older}))
    try:
        with pytest.raises(StudyFailed, match="Dee publishes no exchange key"):
            project.send(request)
        with pytest.raises(PlanError, match="Dee"):
            project.request(COUNT.replace(purpose="NRES"))
    finally:
        online.hub.publish("Dee", publication)


def test_a_masked_plan_is_rehearsed_on_stand_ins_and_charges_nothing(online: Federation) -> None:
    results = online.project().rehearse(COUNT.replace(purpose="NRES")).wait(60)
    assert results.watermark and results["n"].sites["Cam"] == "took part"
    again = online.project().rehearse(COUNT.replace(purpose="NRES")).wait(60)
    assert again["n"].table["n"].tolist() == results["n"].table["n"].tolist()


def test_auto_is_decided_by_what_is_expected_and_published(online: Federation) -> None:
    views = online.project().sites()
    auto = COUNT.replace(aggregation="auto")
    assert aggregation_of(auto, views) == "clear"
    assert aggregation_of(auto.replace(expected=3), views) == "masked"
    assert aggregation_of(auto.replace(expected=10), views) == "clear"
    strict = [view.model_copy(update={"rules": {**view.rules, "masking": "required"}}) for view in views]
    assert aggregation_of(auto, strict) == "masked"
    with pytest.raises(PlanError, match="masked plans only"):
        aggregation_of(COUNT.replace(aggregation="clear"), strict)
    with pytest.raises(PlanError, match="needs 3 sites"):
        aggregation_of(COUNT, views[:2])


def test_what_was_summed_under_masks_is_not_shown_by_site_afterwards(online: Federation) -> None:
    assert online.run(COUNT)["n"].table["n"].tolist() == [60, 60]
    clear = online.run(COUNT.replace(aggregation="clear"))
    assert {outcomes["n"] for outcomes in clear.sites.values()} == {"not released: differencing"}


def test_one_person_who_decides_the_fit_is_vetoed() -> None:
    """A planted outlier: its site alone knows it, and no other learns whose it was."""
    rows = patients(9)
    rows["age"] = np.where(rows.index == 0, 1.0, 0.5 + rows["age"] * 1e-3)
    tables = {site: {"patients": rows.iloc[1:] if site != "Cam" else rows} for site in SITES[:3]}
    with Federation(tables, review=bounded) as small:
        results = small.run(LINE)
        left = {site: [row["note"] for row in node.released()] for site, node in small.nodes.items()}
    with pytest.raises(DisclosureRefused, match="a masked analysis"):
        _ = results["n"].table
    assert {site for site, notes in left.items() if any("vetoed" in note for note in notes)} == {"Cam"}
    assert {said["n"] for said in results.sites.values()} == {"took part"}

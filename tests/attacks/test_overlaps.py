"""Attacks on overlaps: by a partner that sends what it likes, by a hub that swaps, by asking again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hand_hub import HandHub

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.errors import IdentityError
from sojourn.hub.drive import Concluded, Wanted
from sojourn.messages import RoundDocument, received
from sojourn.node.dictionary import Dictionary
from sojourn.node.linkage import _hash
from sojourn.node.overlap_airlock import OverlapAirlock
from sojourn.node.overlap_store import OverlapStore
from sojourn.secrecy.exchange import open_with
from sojourn.secrecy.intersection import POINT, blinded, made_up, pseudonyms
from sojourn.testbed import Federation, derive

TABLES = ("again", "bare", "many", "paced")
LISTS = {"Avon": range(40), "Brent": range(28, 68), "Cam": range(20)}
List = Callable[..., bytes]


def patients(persons: range) -> pd.DataFrame:
    half = len(persons) // 2
    return pd.DataFrame({"person_id": [f"NL-{person}" for person in persons], "old": [True, False] * half})


def hashes(persons: list[int]) -> set[bytes]:
    """What a site can make of any identifiers that it guesses."""
    return {_hash("national_id", f"nl{person}") for person in persons}


def linkable(dictionary: Dictionary) -> Dictionary:
    return replace(dictionary, linkage="national_id")


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Avon and Brent agreed and have 12 in common; Cam agreed with nobody, though it would. Each test has a table."""
    agreed = {"Avon": ["Brent"], "Brent": ["Avon"], "Cam": ["Avon", "Brent"]}
    tables = {site: dict.fromkeys(TABLES, patients(persons)) for site, persons in LISTS.items()}
    overlaps = {site: dict.fromkeys(TABLES, others) for site, others in agreed.items()}
    with Federation(tables, review=linkable, overlaps=overlaps) as made:
        yield made


def asked(federation: Federation, table: str) -> HandHub:
    plan = sj.Plan(table=table, analyses={"n": sj.overlap(most=100)}, aggregation="masked")
    return HandHub(federation, plan)


def numbers(end: object) -> list[object]:
    assert isinstance(end, Concluded), end
    return [row[2] for row in end.estimate.rows]


def imported(federation: Federation, site: str, persons: range) -> None:
    path = federation.folder / "new.parquet"
    patients(persons).to_parquet(path)
    federation.nodes[site].add_dataset(path, linkable(derive(path, "again", "person_id")))


def lying(monkeypatch: pytest.MonkeyPatch, lie: List) -> None:
    """Brent sends Avon another list than its own."""
    honest = OverlapAirlock._list

    def sent(self: OverlapAirlock, place: Any, pair: Any, own: set[bytes], size: int) -> bytes:
        key, public = self.masking.exchange, place.run.circle.exchange(pair.other(self._site))
        return lie(key, public, pair, size) if self._site == "Brent" else honest(self, place, pair, own, size)

    monkeypatch.setattr(OverlapAirlock, "_list", sent)


def chosen(persons: list[int], added: bool = True) -> List:
    """A list of guesses, with the made-up persons or without."""

    def points(key: Any, public: str, pair: Any, size: int) -> bytes:
        guesses = pseudonyms(hashes(persons), key, public, pair.place)
        return blinded(guesses | (made_up(key, public, pair.place) if added else set()), key, pair.place, size)

    return points


def opened(federation: Federation, hub: HandHub, sender: str, by: str = "Cam") -> bytes:
    """A list as it was sent on to Cam, which compares."""
    [past] = [one for one in hub.rounds if one.ask.step == "overlap.double"]
    ask = past.ask.digest(hub.request.study, "n")
    info = f'["sojourn overlap list",1,"{hub.request.study}","n","{ask}","{sender}","{by}"]'.encode()
    sealed = received(past.answers[sender]).sealed["Cam"]  # type: ignore[union-attr]
    return open_with(federation.nodes[by].masking.exchange, sealed, info)


def test_a_list_of_another_form_goes_no_further(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many, one twice, out of order: each could mark a person or count her twice."""
    forms: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda points: [*points, points[-1]],
        lambda points: [points[0], *points[:-1]],
        lambda points: points[::-1],
    ]
    honest = chosen(list(range(28, 68)))
    for form in forms:

        def formed(*words: Any, form: Callable[[list[bytes]], list[bytes]] = form) -> bytes:
            whole = honest(*words)
            return b"".join(form([whole[at : at + POINT] for at in range(0, len(whole), POINT)]))

        lying(monkeypatch, formed)
        hub = asked(federation, "again")
        hub.go(until="overlap.double")
        assert hub.put("Avon", hub.task()) == "joint test"


def test_a_hub_that_swaps_or_repeats_lists_gets_none_doubled(federation: Federation) -> None:
    """Each lie in a study of its own: what a node has refused it refuses again."""
    other = asked(federation, "again")
    other.go(until="overlap.double")
    lies: list[Callable[[Any], dict[str, Any]]] = [
        lambda answers: {**answers, "Brent": answers["Avon"]},  # Avon's own, back to it
        lambda answers: {**answers, "Brent": other.rounds[1].answers["Brent"]},  # of another study
        lambda answers: {**answers, "Brent": addressed_again(answers["Brent"])},
    ]
    for lie in lies:
        hub = asked(federation, "again")
        hub.go(until="overlap.double")
        due, rounds = hub.state(), list(hub.rounds)
        assert isinstance(due, Wanted)
        rounds[1] = RoundDocument(ask=rounds[1].ask, answers=lie(rounds[1].answers))
        assert hub.put("Avon", hub.task(due.ask, transcript=rounds)) == "broadcast"


def addressed_again(answer: dict[str, Any]) -> dict[str, Any]:
    """A list for Avon, handed to Cam."""
    changed = json.loads(json.dumps(answer))
    changed["masked"]["sealed"]["Cam"] = changed["masked"]["sealed"].pop("Avon")
    return dict(changed)


def test_asked_again_the_same_lists_come_and_the_same_number(federation: Federation) -> None:
    """And a site that agreed with nobody is in no pair, whatever it would like, and is sent no list to double."""
    first, again = asked(federation, "again"), asked(federation, "again")
    assert numbers(first.go()) == [12, None, None]  # Avon and Brent; Cam with either
    assert numbers(again.go()) == [12, None, None]
    for site in ("Avon", "Brent"):
        assert opened(federation, first, site) == opened(federation, again, site)
    lists = [received(answer) for answer in first.rounds[1].answers.values()]
    assert [set(one.sealed) for one in lists] == [{"Brent"}, {"Avon"}, set()]  # type: ignore[union-attr]
    assert len({len(blob) for one in lists for blob in one.sealed.values()}) == 1  # type: ignore[union-attr]
    told = {site: dict(received(answer).told) for site, answer in first.rounds[-1].answers.items()}  # type: ignore[union-attr]
    added = told["Avon"]["added"]["0"]
    assert told["Brent"] == told["Avon"] == {"added": {"0": added}, "matches": {}}
    assert told["Cam"] == {"added": {}, "matches": {"0": 12 + added}}
    # What only Cam may open, Avon does not.
    [past] = [one for one in first.rounds if one.ask.step == "overlap.double"]
    assert set(received(past.answers["Brent"]).sealed) == {"Cam"}  # type: ignore[union-attr]
    with pytest.raises(IdentityError):
        opened(federation, first, "Brent", by="Avon")


@pytest.mark.long
def test_a_snapshot_is_compared_with_one_of_the_partner_and_few_changed_give_nothing(federation: Federation) -> None:
    asked(federation, "again").go()  # the same again where another test has asked it
    imported(federation, "Brent", range(28, 88))
    end = asked(federation, "again").go()
    assert isinstance(end, Concluded)
    assert end.estimate.rows[0][2:] == (Suppressed(), "asked before")  # each study of a new snapshot would tell more
    imported(federation, "Avon", range(1, 41))
    assert numbers(asked(federation, "again").go()) == [Suppressed(), None, None]
    notes = [row["note"] for row in federation.nodes["Avon"].released() if row["note"]]
    assert notes == ["nobody for Brent: differencing"]
    imported(federation, "Avon", range(60))
    imported(federation, "Brent", range(28, 108))
    assert numbers(asked(federation, "again").go()) == [32, None, None]


def test_one_guess_is_too_few_also_where_the_made_up_persons_are_left_out(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matches less made-up persons would be less than none, which is none of 0 .. T - 1 either."""
    lying(monkeypatch, chosen([5], added=False))
    hub = asked(federation, "bare")
    end = hub.go()
    assert isinstance(end, Concluded)
    assert end.estimate.rows[0][2:] == (Suppressed(), "not released")
    assert hub.rounds[-1].ask.step == "overlap.open"  # nobody says a number


def test_a_list_of_guesses_tells_one_number_of_a_snapshot(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound: how many of its guesses Avon has, where they are many. One guess more goes no further."""
    guesses = [*range(60, 90), *range(12)]
    lying(monkeypatch, chosen(guesses))
    assert numbers(asked(federation, "many").go()) == [12, None, None]
    lying(monkeypatch, chosen([*guesses, 12]))
    other = asked(federation, "many")
    other.go(until="overlap.double")
    assert other.put("Avon", other.task()) == "joint test"


def test_lists_leave_at_a_pace_whoever_has_one(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cam's custodian does not approve the table: it answers when the others do, and its log grows no sooner."""
    runners = {site: node.runner for site, node in federation.nodes.items()}
    for runner in runners.values():
        monkeypatch.setattr(runner, "_pace", 3600.0)
    key = federation.project().federation.key.public.hex
    federation.nodes["Cam"].approve("testbed", key, [table for table in TABLES if table != "paced"])
    hub, paced = asked(federation, "paced"), []
    while isinstance(state := hub.state(), Wanted):
        said, waits, task = {}, set(), hub.task(state.ask)
        for site in state.asked:
            size, departure = runners[site].store.size, runners[site]._answer(task, task.key())
            waits.add(departure and departure.wait)
            if departure is not None:
                assert runners[site].store.size == size  # neither stored nor logged before its time
                if site == "Avon" and state.ask.step == "overlap.blind":
                    meanwhile(federation)
                departure.go()
            said[site] = hub.put(site, task)
        assert len(waits) == 1
        paced += [state.ask.step] if waits == {3600.0} else []
        hub.rounds.append(RoundDocument(ask=state.ask, answers=said))  # type: ignore[arg-type]
    assert paced == ["overlap.blind", "overlap.share"]
    assert numbers(hub.state()) == [12, None, None]
    assert len(OverlapStore(federation.nodes["Avon"].store).lists("paced", "Brent")) == 1


def meanwhile(federation: Federation) -> None:
    """Avon puts the same list in for another study, while that of the first one waits."""
    other = asked(federation, "paced")
    other.go(until="overlap.blind")
    task = other.task()
    departure = federation.nodes["Avon"].runner._answer(task, task.key())
    assert departure is not None
    departure.go()

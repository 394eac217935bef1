"""A plan is rehearsed the way of a study, on stand-ins: no record is reached, and no number passes for a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

import sojourn as sj
from sojourn.client.results import Results
from sojourn.disclosure.gate import ReceivedRelease
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rehearsal import WATERMARK, Rehearsed, is_rehearsal
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import IdentityError, StudyFailed
from sojourn.hub.combine import open_delivery
from sojourn.hub.studies import request_of
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Delivery
from sojourn.node import extract, opening
from sojourn.node.stand_in import StandIn, StandIns
from sojourn.report.html import render
from sojourn.study.transcript import Round, coherent
from sojourn.testbed import Federation

SITES = ("Avon", "Brent")
PEOPLE = 120  # at each site; a stand-in has 1,000
PLAN = sj.Plan(
    table="patients",
    purpose="HMB",
    title="Wards",
    analyses={
        "people": sj.count(),
        "wards": sj.count(by=["ward", "sex", "ill"]),
        "model": sj.glm("ill ~ age + C(sex)", family="binomial"),
        "saturated": sj.glm("ill ~ C(ward)*C(sex)", family="binomial"),
    },
)


def patients(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(20, 90, PEOPLE),
            "ward": random.choice(list("abcdefgh"), PEOPLE),
            "sex": random.choice(["F", "M"], PEOPLE),
            "ill": random.random(PEOPLE) < 0.4,
        }
    )


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with Federation({site: {"patients": patients(seed)} for seed, site in enumerate(SITES)}) as made:
        yield made


@pytest.fixture(scope="module")
def rehearsed(federation: Federation) -> Results:
    return federation.project().rehearse(PLAN).wait(60)


def test_it_says_for_each_analysis_and_site_what_would_be_let_out(rehearsed: Results) -> None:
    said = rehearsed.rehearsal
    assert said is not None
    assert said["people"] == said["model"] == dict.fromkeys(SITES, "would be released")
    for words in said["wards"].values():
        assert words.startswith("would be released, ")
        assert words.endswith(" cells suppressed")
    assert said["saturated"] == dict.fromkeys(SITES, "would be refused: design support")
    assert rehearsed.trusted


def test_it_ran_on_synthetic_persons_and_says_so_everywhere(rehearsed: Results, federation: Federation) -> None:
    assert rehearsed["people"].table["n"].sum() > len(SITES) * PEOPLE * 4
    assert is_rehearsal(rehearsed.watermark)
    assert WATERMARK in repr(rehearsed)
    assert rehearsed["people"].table.attrs["watermark"] == rehearsed.watermark
    assert WATERMARK in render(rehearsed.study)
    assert WATERMARK in rehearsed["wards"]._repr_html_()
    assert rehearsed["wards"].to_dict()["watermark"] == rehearsed.watermark
    rules = federation.project().sites()[0].rules
    assert rules["stand_ins"] == {"patients": {"persons": 1000, "from": "dictionary"}}


def test_a_study_is_none(federation: Federation) -> None:
    results = federation.run(PLAN.replace(analyses={"people": sj.count()}))
    assert results["people"].table["n"].sum() == len(SITES) * PEOPLE
    assert results.rehearsal is None
    assert results.watermark == ""


def test_it_charges_a_ledger_of_its_own(federation: Federation, rehearsed: Results) -> None:
    node = federation.nodes["Avon"]
    run = node.store.run(rehearsed.study.study)
    assert run is not None
    assert run["dataset"] == f"~{rehearsed.study.study}"
    real = node.store.dataset("patients")
    assert real is not None
    charged = node.store.ledger_of(rehearsed.study.study)
    assert charged
    assert real["snapshot"] not in {row["snapshot"] for row in charged}
    assert {row["rehearsal"] for row in node.released(rehearsed.study.study)} == {True}
    assert [row["rehearsal"] for row in node.show()["runs"] if row["study"] == rehearsed.study.study] == [True]


# ---- no record is reached


def opened(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The files of data that a rehearsal opens."""
    found: set[Path] = set()
    before = extract.open_snapshot

    def watched(path: Path, spill: Path) -> object:
        found.add(path)
        return before(path, spill=spill)

    monkeypatch.setattr(extract, "open_snapshot", watched)
    federation.project().rehearse(PLAN.replace(analyses={"people": sj.count()})).wait(60)
    return found


def is_stand_in(path: Path, federation: Federation) -> bool:
    return any(path.is_relative_to(node.home.stand_ins) for node in federation.nodes.values())


def test_only_stand_ins_are_opened(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(federation, monkeypatch)
    assert len(found) == len(SITES)
    assert all(is_stand_in(path, federation) for path in found)


def test_a_node_that_took_the_real_snapshot_would_be_noticed(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted defect needs two mistakes at once: the snapshot's name, and the folder that it is looked for in."""

    def real(self: StandIns, table: str) -> StandIn:
        row = self._store.dataset(table)
        assert row is not None
        return StandIn(row["snapshot"], PEOPLE, True)

    monkeypatch.setattr(StandIns, "current", real)
    assert opened(federation, monkeypatch) == set()  # one mistake: no such snapshot in the folder of stand-ins
    taken = opening.extract
    monkeypatch.setattr(opening, "extract", lambda folder, *rest: taken(folder.parent, *rest))
    assert not all(is_stand_in(path, federation) for path in opened(federation, monkeypatch))


@pytest.mark.long
def test_other_people_change_no_digit_of_it(rehearsed: Results) -> None:
    """Whatever an analyst reads off rehearsals, it is not about the data: other data, the same answers."""
    others = {site: {"patients": patients(seed)} for seed, site in enumerate(SITES, start=90)}
    with Federation(others) as elsewhere:
        again = elsewhere.project().rehearse(PLAN).wait(60)
    assert again.rehearsal == rehearsed.rehearsal
    for name in ("people", "wards", "model"):
        assert again.study.analyses[name].estimate == rehearsed.study.analyses[name].estimate


# ---- neither passes for the other


def test_the_hub_takes_no_answer_of_the_other_kind(federation: Federation, rehearsed: Results) -> None:
    study = rehearsed.study.study
    row = federation.hub.store.study(study)
    assert row is not None
    request = request_of(row["request"])
    stored = [found for found in federation.nodes["Avon"].released(study) if found["answer"]]
    ask = stored[0]["answer"]["release"]["header"]["ask"]
    sealed = federation.nodes["Avon"].store.release(study, stored[0]["analysis"], ask)
    assert sealed is not None
    message = Delivery(study=study, analysis=stored[0]["analysis"], ask=ask, sealed=bytes(sealed["sealed"]).hex())
    open_delivery(federation.hub.store, request, "Avon", message)
    with pytest.raises(IdentityError, match="rehearsal"):
        open_delivery(federation.hub.store, replace(request, rehearsal=False), "Avon", message)


def test_nodes_and_clients_take_no_transcript_of_the_other_kind(federation: Federation, rehearsed: Results) -> None:
    study = rehearsed.study.study
    stored = [found for found in federation.nodes["Avon"].released(study) if found["analysis"] == "people"]
    release = ReceivedRelease.from_dict(stored[0]["answer"]["release"])
    rounds = [Round(None, release.header.ask, {"Avon": release})]  # type: ignore[arg-type]
    of = (study, rehearsed.study.plan_hash, "people", "Avon", 1)
    assert coherent(rounds, *of, rehearsal=True)
    assert not coherent(rounds, *of)
    plain = replace(release, header=replace(release.header, watermark=""))
    assert not coherent([replace(rounds[0], releases={"Avon": plain})], *of, rehearsal=True)


def test_the_mark_is_beside_that_of_a_site_without_rules() -> None:
    unsafe = Rehearsed(UnsafeReleaseAll())
    assert is_rehearsal(unsafe.watermark)
    assert "UnsafeReleaseAll" in unsafe.watermark
    assert not is_rehearsal(UnsafeReleaseAll().watermark)
    assert Rehearsed(StandardPolicy()).hidden_max() == 9


# ---- who, where, and on what


def test_a_key_that_no_site_approved_may_not_rehearse(federation: Federation) -> None:
    stranger = PrivateKey.generate()
    federation.hub.add_member("testbed", stranger.public.hex)
    results = federation.connection(stranger).project("testbed").rehearse(PLAN).wait(60)
    assert results.rehearsal is not None
    assert results.rehearsal["people"] == dict.fromkeys(SITES, "would be refused: not approved")


def test_a_site_that_tells_of_no_stand_in_is_not_asked(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIns, "told", lambda self, table: {})
    node = federation.nodes["Avon"]
    federation.hub.publish("Avon", node.publication())
    with pytest.raises(StudyFailed, match="Avon cannot rehearse"):
        federation.project().rehearse(PLAN)
    monkeypatch.undo()
    federation.hub.publish("Avon", node.publication())


def test_a_custodian_supplies_a_stand_in(federation: Federation, tmp_path: Path) -> None:
    node = federation.nodes["Brent"]
    for people in (300, 400):  # another one may follow
        patients(7).sample(people, replace=True, random_state=1).to_csv(tmp_path / "synthetic.csv", index=False)
        assert node.add_stand_in(tmp_path / "synthetic.csv", "patients")["persons"] == people
    assert node.publication().rules["stand_ins"]["patients"] == {"persons": 400, "from": "custodian"}
    count = PLAN.replace(analyses={"people": sj.count()})
    results = federation.project().rehearse(count, sites=["Brent"]).wait(60)
    assert results["people"].table["n"].sum() == 400
    logged = b"".join(bytes(row["data"]) for row in node.store.rows(text("SELECT data FROM log_entry")))
    assert logged.count(b"rehearsal.supplied") == 2


def test_offers_of_a_rehearsal_are_rehearsed(rehearsed: Results) -> None:
    offers = {offer.change.done: offer for offer in rehearsed["saturated"].offers}
    offer = offers["`C(ward)` and `C(ward):C(sex)` were left out of the model."]
    again = rehearsed["saturated"].accept(offer).wait(60)
    assert again.rehearsal is not None
    assert again.rehearsal["saturated"] == dict.fromkeys(SITES, "would be released")
    assert is_rehearsal(again.watermark)
    assert again.mitigation == [offer.change.done]

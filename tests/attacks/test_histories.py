"""Abusive histories of asks (A35): each kind passes where no history is looked at, and is held where one is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from histories import KINDS, MOST_REFUSALS, USUAL, Maker, bursts, judged, made, moments
from hypothesis import given
from hypothesis import strategies as st
from recorded import Figures
from sqlalchemy import MetaData, select

import sojourn as sj
from sojourn.client.results import Results
from sojourn.disclosure.review import APPROVE, Vote
from sojourn.errors import REASONS, ConfigurationError, SojournError
from sojourn.governance.history import DAY, FEW, SCOPE, Asked, suspicions
from sojourn.identity.envelope import REQUEST_TYPE, Request, sign
from sojourn.identity.keys import PrivateKey
from sojourn.messages import AskDocument, Task
from sojourn.node.airlock_commands import tell_alarms
from sojourn.node.doctor import check_histories
from sojourn.node.histories import UNUSUAL
from sojourn.node.review_view import listed
from sojourn.storage.log import log_tables
from sojourn.study.plan import Plan
from sojourn.testbed import PROJECT, Federation

pytestmark = pytest.mark.long

SITE = "Cleveland"
PERSONS = 120
SEEDS = (1, 2, 3)
RANDOM = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "person_id": np.arange(PERSONS),
        "record": np.arange(PERSONS).astype(float),
        "sex": np.where(RANDOM.random(PERSONS) < 0.5, "F", "M"),
    }
)
BENIGN, ABUSIVE = 100, 20


# ---- through the whole product


class Asker:
    """A researcher with a key of her own."""

    def __init__(self, federation: Federation) -> None:
        self.federation, self.key = federation, PrivateKey.generate()
        federation.hub.add_member(PROJECT, self.key.public.hex)
        federation.nodes[SITE].approve(PROJECT, self.key.public.hex, ["persons"])

    def ask(self, where: str = "", table: str = "persons", analyses: int = 1) -> Results:
        counts = {f"n{number}": sj.count(by="sex") for number in range(analyses)}
        plan = Plan(table=table, where=where, analyses=counts, min_sites=1, purpose="HMB")
        return self.federation.connection(self.key).project(PROJECT).submit(plan).wait(60)

    def volume(self) -> None:
        """Fifty analyses at once, where five a day are usual."""
        self.ask(analyses=50)

    def scope(self) -> None:
        """Every table that this site publishes and did not approve for her."""
        for number in range(5):
            self.ask(table=f"secret{number}")

    def rows(self) -> None:
        """One person after the other."""
        for number in range(14):
            self.ask(where=f"record = {number}")

    def outcome(self) -> str:
        """What becomes of one ordinary ask: empty where it is released."""
        said = self.ask()["n0"].sites[SITE]
        return "" if said == "contributed" else said.removeprefix("not released: ")


def opened(usual: int) -> Federation:
    tables = {"persons": TABLE, **{f"secret{number}": TABLE for number in range(5)}}
    return Federation({SITE: tables}, usual_asks=usual)


@pytest.fixture(scope="module")
def watched() -> Iterator[Federation]:
    with opened(usual=5) as federation:
        yield federation


@pytest.fixture(scope="module")
def blind() -> Iterator[Federation]:
    with opened(usual=0) as federation:
        yield federation


def logged(federation: Federation, kind: str) -> list[str]:
    entry = log_tables(MetaData()).entry.c
    rows = federation.nodes[SITE].store.rows(select(entry.data).order_by(entry.position))
    return [str(row["data"]) for row in rows if f'"{kind}"' in str(row["data"])]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_passes_unseen_without_the_detector(kind: str, blind: Federation) -> None:
    asker = Asker(blind)
    getattr(asker, kind)()
    assert asker.outcome() == ""
    assert blind.nodes[SITE].histories.shown() == [] and logged(blind, "researcher.suspected") == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_seen_and_held_until_the_custodian_clears_it(
    kind: str, watched: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    node, asker, other = watched.nodes[SITE], Asker(watched), Asker(watched)
    before = len(logged(watched, "researcher.suspected"))
    assert asker.outcome() == ""
    getattr(asker, kind)()
    assert asker.outcome() == UNUSUAL  # nobody checks here
    [alarm] = node.show()["alarms"]
    assert (alarm["key"], [word for word in KINDS if alarm[word]]) == (asker.key.public.id, [kind])
    [entry] = logged(watched, "researcher.suspected")[before:]
    assert asker.key.public.id in entry and kind in entry
    tell_alarms(node.histories.shown())
    assert asker.key.public.id in capsys.readouterr().out
    assert other.outcome() == ""  # of her alone
    seen = check_histories(node.home)
    assert (seen.verdict, asker.key.public.id in seen.sentence) == ("warning", True)
    with pytest.raises(ConfigurationError, match="reason"):
        node.histories.clear(asker.key.public.id, " ", node.clock())
    with pytest.raises(ConfigurationError, match="No alarm"):
        node.histories.clear(other.key.public.id, "spoke with her", node.clock())
    node.histories.clear(asker.key.public.id, "spoke with her", node.clock())
    assert asker.outcome() == "" and node.histories.shown() == []
    assert check_histories(node.home).verdict == "ok"
    assert "spoke" not in "".join(logged(watched, "researcher.cleared"))


def test_what_is_unusual_leaves_where_two_checkers_agree(watched: Federation) -> None:
    node, asker = watched.nodes[SITE], Asker(watched)
    keys = {name: PrivateKey.generate() for name in ("Carol", "Dora")}
    for name, key in keys.items():
        node.desk.enrol(name, key.public.hex)
    try:
        asker.scope()
        plan = Plan(table="persons", analyses={"n0": sj.count(by="sex")}, min_sites=1, purpose="HMB")
        run = watched.connection(asker.key).project(PROJECT).submit(plan)
        end = time.monotonic() + 60
        while not (waiting := listed(node.desk, False)):
            assert time.monotonic() < end
            time.sleep(0.01)
        [review] = waiting
        assert (review["tier"], review["family"], review["needs"]) == ("high", UNUSUAL, 2)
        for key in keys.values():
            cast = Vote(review["review"], review["sha256"], APPROVE, "agreed", (), False, (), 1)
            node.desk.vote(cast.signed(key).to_dict())
        assert run.wait(60)["n0"].sites[SITE] == "contributed"
    finally:
        node.histories.clear(asker.key.public.id, "seen", node.clock())
        for name in keys:
            node.desk.dismiss(name)


def test_a_hub_cannot_frame_a_researcher(watched: Federation) -> None:
    """What she signed once is one, under whatever names it is shown; what is not signed for this site is nobody's."""
    node, asker = watched.nodes[SITE], Asker(watched)
    admission = node.runner.admission
    plan = Plan(table="secret0", analyses={"n": sj.count()}, min_sites=1, purpose="HMB")
    request = watched.connection(asker.key).project(PROJECT).request(plan)

    def task(request: Request, key: PrivateKey, study: str) -> Task:
        envelope = sign(REQUEST_TYPE, request.encode(), key).to_dict()
        return Task(
            study=study, analysis="n", ask=AskDocument(step="count", broadcast={}), transcript=[], request=envelope
        )

    for number in range(20):
        with pytest.raises(SojournError):
            admission.run(task(request, asker.key, f"{number:032x}"), node.clock())
    node.histories.look(asker.key.public.hex, node.clock())
    assert node.histories.shown() == []
    assert admission.signer(task(request, asker.key, request.study))[0] == asker.key.public.hex
    elsewhere = replace(request, roster={"Elsewhere": PrivateKey.generate().public.hex})
    assert admission.signer(task(elsewhere, asker.key, request.study)) == ("", "")
    assert admission.signer(task(request, PrivateKey.generate(), request.study)) == ("", "")
    broken = task(request, asker.key, request.study)
    broken.request["signature"] = "00" * 64
    assert admission.signer(broken) == ("", "")


# ---- the rates


def test_recall_and_false_alarms_on_histories_that_chose_nothing(figures: Figures) -> None:
    lines = {}
    for maker in (judged, bursts):
        seeds = SEEDS if maker is judged else SEEDS[:1]
        found = [one for seed in seeds for one in made(maker, BENIGN, ABUSIVE, seed)]
        false = sum(any(one.found()) for one in found if not one.kind)
        caught = sum(one.kind in one.found() for one in found if one.kind)
        lines[maker] = (caught, ABUSIVE * len(seeds), false, BENIGN * len(seeds))
        if maker is judged:
            passing = [one for one in found if one.kind and one.most_refused() < MOST_REFUSALS]
            assert {one.kind for one in passing} == set(KINDS)
    caught, abusive, false, benign = lines[judged]
    assert caught >= 0.95 * abusive and false <= 0.02 * benign
    figures(
        "A35",
        f"{abusive} abusive histories of asks (volume, scope, single rows) among {benign} benign ones",
        without=f"0 of {abusive} seen: {len(passing)} of them keep below the bound on refusals",
        with_defence=f"{caught} of {abusive} raise an alarm, which holds what they ask further",
        mark="recall ≥ 95 %, false alarms ≤ 2 %",
        benign=f"{false} of {benign} raise one ({lines[bursts][2]} of {lines[bursts][3]} of a kind with weeks of "
        "revisions, on which the bounds were chosen)",
    )


@pytest.mark.parametrize("maker", [judged, bursts])
def test_a_history_is_judged_at_every_moment_that_matters(maker: Maker) -> None:
    """Where too few asks are near, nothing is left out."""
    for one in made(maker, 3, 3, 9):
        past = sorted(one.asked, key=lambda asked: asked.made)
        assert set(one.found()) == {
            seen.kind for place, now in moments(past) for seen in suspicions(past[:place], now, USUAL)
        }


# ---- the laws


HISTORIES = st.lists(
    st.builds(
        Asked,
        st.floats(0, 40 * DAY),
        st.sampled_from(["", *sorted(FEW | SCOPE), "worker"]),
        st.sampled_from("abcdefgh"),
    ),
    max_size=60,
)


@given(HISTORIES, st.floats(0, 40 * DAY))
def test_what_the_custodian_has_seen_raises_nothing_again(history: list[Asked], now: float) -> None:
    assert suspicions(history, now, 5, cleared=now) == ()
    assert suspicions([asked for asked in history if asked.made > now], now, 5) == ()


@given(HISTORIES, st.sampled_from(sorted(SCOPE)), st.floats(0, 20))
def test_asks_out_of_scope_only_add(history: list[Asked], word: str, usual: float) -> None:
    """Nobody hides abuse behind more of it: not one kind of suspicion goes away."""
    now = 40 * DAY
    before = {one.kind for one in suspicions(history, now, int(usual))}
    more = [*history, *(Asked(now, word, f"more {number}") for number in range(5))]
    assert before | {"scope"} == {one.kind for one in suspicions(more, now, int(usual))}


@given(HISTORIES)
def test_the_order_of_a_history_does_not_matter(history: list[Asked]) -> None:
    one = [asked for place, asked in enumerate(history) if asked.made not in [a.made for a in history[:place]]]
    assert suspicions(one, 40 * DAY, 5) == suspicions(one[::-1], 40 * DAY, 5)


def test_every_word_of_the_detector_is_a_reason() -> None:
    assert FEW | SCOPE | {UNUSUAL} <= set(REASONS)

"""A node killed around every commit of a review: nothing is lost, nothing doubled, and only checked bytes leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from federation_processes import SITES
from mortal_processes import (
    Mortals,
    counting,
    mortals_fixture,  # noqa: F401  (pytest finds it here)
    settled,
    shared_mortals_fixture,  # noqa: F401
)
from test_kill_points import HELD, REVIEWED, again, around, die_twice

from sojourn.client.studies import Run
from sojourn.disclosure.review import APPROVE, HIDE, REJECT, Vote
from sojourn.identity.keys import PrivateKey

pytestmark = pytest.mark.timeout(300)


def ask(mortals: Mortals, name: str, /, **words: Any) -> Callable[[], Any]:
    return lambda: mortals.node("Cam", name, **words)


def held(mortals: Mortals, run: Run) -> dict[str, Any]:
    """The output that waits at Cam, as its people see it."""
    found = [row for row in mortals.node("Cam", "reviews") if row["study"] == run.study]
    assert len(found) == 1
    return dict(found[0])


def vote(mortals: Mortals, key: PrivateKey, review: dict[str, Any], verdict: str, *hide: str) -> Callable[[], Any]:
    cast = Vote(review["review"], review["sha256"], verdict, "looked at it", (), False, hide, 1)
    return ask(mortals, "vote", document=cast.signed(key).to_dict())


def submitted(mortals: Mortals, tier: str) -> Run:
    """A study whose output waits at Cam, which died around that; the hub around hearing of it."""
    (mortals.home / "tier").write_text(tier)
    mortals.orders["Cam"] |= {"tier": str(mortals.home / "tier")}
    mortals.armed(Cam=around("review.opened"), hub=around("round.held"))
    before = len(mortals.deaths)
    run = mortals.submit(mortals.insist(mortals.project), counting(min_sites=2))
    mortals.tended("four deaths", lambda: len(mortals.deaths) == before + 4)
    known = "SELECT count(*) FROM task WHERE study = ? AND site = 'Cam' AND review IS NOT NULL"
    mortals.tended("the hub's knowledge", lambda: mortals.hub_rows(known, run.study) == [(1,)])
    return run


def decided(mortals: Mortals, kind: str, act: Callable[[], Any]) -> None:
    """Cam dies before the commit of this kind and once more after it; asked again, it is done or had been done."""
    mortals.armed(Cam=around(kind))
    die_twice(mortals, act)
    assert again(act) is not None, kind


def kinds(mortals: Mortals, run: Run) -> list[str]:
    return [entry["kind"] for entry in mortals.log("Cam", run.study)]


@pytest.mark.nightly
def test_c06_killed_around_every_commit_of_a_review(mortals: Mortals) -> None:
    keys = {name: PrivateKey.generate() for name in ("Carol", "Dora")}
    for name, key in keys.items():
        mortals.armed(Cam=around("checker.enrolled"))
        enrol = ask(mortals, "add_checker", name=name, key=key.public.hex)
        die_twice(mortals, enrol)
        assert again(enrol) is None
    carol, dora = keys["Carol"], keys["Dora"]
    try:
        _approved(mortals, carol, dora)
        _rejected_and_closed(mortals, carol)
    finally:
        mortals.armed(Cam=around("checker.removed"))
        remove = ask(mortals, "remove_checker", name="Dora")
        die_twice(mortals, remove)
        assert again(remove) == "There is no such checker."
        mortals.node("Cam", "remove_checker", name="Carol")
    swept = {death.point[1] for death in mortals.deaths}
    assert swept == {point for _, point, _ in (*HELD, *REVIEWED)}


def _approved(mortals: Mortals, carol: PrivateKey, dora: PrivateKey) -> None:
    """Edited, found riskier meanwhile, voted on twice: it leaves once, as it was checked."""
    run = submitted(mortals, "medium")
    decided(mortals, "review.edited", vote(mortals, carol, held(mortals, run), HIDE, "count[0]"))
    (mortals.home / "tier").write_text("high")
    raised = vote(mortals, carol, held(mortals, run), APPROVE)
    decided(mortals, "review.raised", raised)
    review = held(mortals, run)
    assert (review["tier"], review["version"], review["has"]) == ("high", 2, 0)
    decided(mortals, "review.voted", vote(mortals, carol, review, APPROVE))
    decided(mortals, "review.approved", vote(mortals, dora, review, APPROVE))
    assert mortals.finish(run) == "completed"
    settled(mortals, run)
    logged = kinds(mortals, run)
    told = ("review.opened", "review.edited", "review.raised", "review.voted", "review.approved", "release.sealed")
    assert [logged.count(kind) for kind in told] == [1] * len(told)
    ((document, digest),) = mortals.rows("Cam", "SELECT document, digest FROM review WHERE study = ?", run.study)
    ((answer,),) = mortals.rows("Cam", "SELECT answer FROM release WHERE study = ?", run.study)
    assert hashlib.sha256(document).hexdigest() == digest == review["sha256"]
    assert json.loads(document) == json.loads(answer)["release"]
    sites = mortals.researcher().study(run.study).results()["count"].sites
    assert sites == dict.fromkeys(SITES, "contributed")


def _rejected_and_closed(mortals: Mortals, carol: PrivateKey) -> None:
    run = submitted(mortals, "medium")
    decided(mortals, "review.rejected", vote(mortals, carol, held(mortals, run), REJECT))
    assert mortals.finish(run) == "completed"
    settled(mortals, run)
    assert [kinds(mortals, run).count(kind) for kind in ("review.rejected", "release.refused")] == [1, 1]
    assert mortals.researcher().study(run.study).results()["count"].sites["Cam"] == "not released: review"
    run = submitted(mortals, "medium")
    mortals.armed(Cam=around("review.closed"))
    mortals.insist(run.cancel)
    mortals.tended("two deaths", lambda: not mortals.fates["Cam"] and mortals.lives["Cam"].fate is None)
    assert mortals.finish(run) == "cancelled"
    logged = kinds(mortals, run)
    assert [logged.count(kind) for kind in ("review.closed", "run.ended", "release.sealed")] == [1, 1, 0]

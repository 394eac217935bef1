"""Held bytes and the votes on them: what the gate takes for an approval, and what editing may do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.disclosure.gate import Decided, approved, hide_more, hold, release
from sojourn.disclosure.output import Finding, Tier, Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import (
    APPROVE,
    HIDE,
    NEEDED,
    REJECT,
    Vote,
    bench,
    enough,
    event,
    finding_from_dict,
    finding_to_dict,
    no_riskier,
    votes,
)
from sojourn.errors import DisclosureRefused, ReviewError
from sojourn.identity.keys import PrivateKey

KEYS = {name: PrivateKey.generate() for name in ("Ann", "Ben", "Carol", "Dora")}
ENROLLED = {name: key.public.hex for name, key in KEYS.items()}
FLAT = StandardPolicy(Parameters(dimensions=1))
TABLE = [[30, 4, 50], [60, 70, 80], [40, 50, 60]]


@pytest.fixture
def held(outputs):
    return hold(outputs.table(TABLE), FLAT, outputs.HEADER)


def said(name, digest, verdict=APPROVE, for_run=False, hide=()):
    return Vote("r", digest, verdict, "seen", (), for_run, hide, 1).signed(KEYS[name]).to_dict()


def test_what_waits_has_left_out_what_a_rule_hides(held, outputs):
    document = json.loads(held.document)
    assert held.finding.verdict is Verdict.SUPPRESS
    assert held.finding.tier is Tier.MEDIUM
    assert document["tier"] == "medium"
    assert 1 in document["partial"]["suppressed"]["count"]
    assert hashlib.sha256(held.document).hexdigest() == held.digest
    with pytest.raises(DisclosureRefused, match="Too few persons"):
        release(outputs.table(TABLE), FLAT, outputs.HEADER)


def test_what_a_rule_refuses_is_not_held(outputs):
    with pytest.raises(DisclosureRefused):
        hold(outputs.table([[3, 4]], population=7), FLAT, outputs.HEADER)


def test_only_the_bytes_that_were_checked_become_a_release(held):
    decided = Decided(held.digest, (said("Ann", held.digest),), ENROLLED, held.finding)
    assert approved(held, decided).digest() == held.digest
    forged = replace(held, document=held.document.replace(b'"Cleveland"', b'"Nowhere"'))
    with pytest.raises(ReviewError, match="not those that were checked"):
        approved(forged, decided)
    rehashed = replace(forged, digest=hashlib.sha256(forged.document).hexdigest())
    with pytest.raises(ReviewError, match="not approved"):
        approved(rehashed, decided)
    with pytest.raises(ReviewError, match="not approved"):
        approved(rehashed, replace(decided, digest=rehashed.digest))
    with pytest.raises(ReviewError, match="not approved"):  # a milder tier would need fewer
        approved(held, replace(decided, finding=replace(held.finding, tier=Tier.LOW)))


def test_a_vote_of_another_or_a_torn_one_does_not_count(held):
    stranger = Vote("r", held.digest, APPROVE, "seen", (), False, (), 1).signed(PrivateKey.generate()).to_dict()
    torn = said("Ann", held.digest) | {"payload": said("Ben", held.digest)["payload"][:-4]}
    other = said("Ann", held.digest) | {"payload": said("Ann", "0" * 64)["payload"]}
    for document in (stranger, torn, other, {}, said("Ann", "0" * 64), said("Ann", held.digest, HIDE, hide=("a",))):
        assert votes([document], held.digest, ENROLLED) == {}


@given(
    tier=st.sampled_from([Tier.LOW, Tier.MEDIUM, Tier.HIGH]),
    cast=st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.sampled_from([APPROVE, REJECT])), max_size=6),
    author=st.sampled_from([*sorted(KEYS), ""]),
    removed=st.sets(st.sampled_from(sorted(KEYS))),
)
def test_an_approval_needs_enough_different_checkers_who_agree(tier, cast, author, removed):
    """The first vote of each who is enrolled and no author; nothing else moves anything."""
    digest = "ab" * 32
    enrolled = {name: key for name, key in ENROLLED.items() if name not in removed}
    seated = bench(enrolled, ENROLLED.get(author, ""), ())
    counted = votes([said(name, digest, verdict) for name, verdict in cast], digest, seated)
    first = {}
    for name, verdict in cast:
        first.setdefault(name, verdict)
    expected = {name: verdict for name, verdict in first.items() if name not in removed and name != author}
    assert {name: vote.verdict for name, vote in counted.items()} == expected
    word = event(tier, counted)
    if word == "approve":
        assert len(expected) >= max(1, NEEDED[tier])
        assert set(expected.values()) == {APPROVE}
    assert (word == "") == (not expected)
    assert enough(tier, seated) == (len(seated) >= max(1, NEEDED[tier]))


def test_nobody_of_the_author_s_name_checks():
    assert set(bench(ENROLLED, "", ["  ann "])) == {"Ben", "Carol", "Dora"}
    assert set(bench(ENROLLED, ENROLLED["Ben"], ["Ann"])) == {"Carol", "Dora"}


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=3, max_size=3))
def test_editing_hides_and_never_shows(mask):
    import importlib.util
    from pathlib import Path

    place = importlib.util.spec_from_file_location("review_outputs", Path(__file__).with_name("outputs.py"))
    outputs = importlib.util.module_from_spec(place)
    place.loader.exec_module(outputs)
    before = hold(outputs.table(TABLE), FLAT, outputs.HEADER)
    after = hide_more(before, {"count": np.array(mask)})
    was, now = (json.loads(held.document)["partial"] for held in (before, after))
    hidden = set(was["suppressed"]["count"]) | set(np.flatnonzero(mask).tolist())
    assert set(now["suppressed"]["count"]) == hidden
    decided = Decided(after.digest, (said("Ann", after.digest),), ENROLLED, after.finding)
    numbers = approved(after, decided).partial["count"].ravel()
    assert not numbers[sorted(hidden)].any()
    shown = [cell for cell in range(9) if cell not in hidden]
    assert numbers[shown].tolist() == np.array(TABLE).ravel()[shown].tolist()
    if after.digest != before.digest:
        assert not Decided(after.digest, (said("Ann", before.digest),), ENROLLED, after.finding).approves()


@pytest.mark.parametrize(
    ("change", "covered"),
    [
        ({}, True),
        ({"tier": Tier.HIGH}, False),
        ({"raised": "dominance"}, False),
        ({"cells": {"count": np.array([True, True])}}, False),
        ({"risky": {"count": np.array([True, False])}}, False),
        ({"cells": {}}, True),
        ({"verdict": Verdict.REFUSE}, False),
    ],
)
def test_an_approval_for_the_run_covers_what_is_no_riskier(change, covered):
    first = Finding(
        Verdict.SUPPRESS, "events", {"count": np.array([True, False])}, Tier.MEDIUM, raised="design support"
    )
    assert no_riskier(replace(first, **change), first) is covered
    assert finding_to_dict(finding_from_dict(finding_to_dict(first))) == finding_to_dict(first)


def test_a_later_round_leaves_under_an_approval_for_the_run(outputs):
    output = outputs.model(rules=("design support",), leverage=0.2)
    first = hold(output, StandardPolicy(), outputs.HEADER)
    for_run, once = (said("Ann", first.digest, for_run=word) for word in (True, False))
    standing = Decided(first.digest, (for_run,), ENROLLED, first.finding)
    assert release(output, StandardPolicy(), outputs.HEADER, standing=standing).tier == "medium"
    for milder in (replace(standing, votes=(once,)), replace(standing, seated={}), replace(standing, digest="0" * 64)):
        with pytest.raises(DisclosureRefused):
            release(output, StandardPolicy(), outputs.HEADER, standing=milder)
    unsafe = outputs.model(rules=("design support",), leverage=0.5)
    with pytest.raises(DisclosureRefused):
        release(unsafe, StandardPolicy(), outputs.HEADER, standing=standing)


@pytest.mark.parametrize(
    "words",
    [
        {"verdict": "maybe"},
        {"reason": " "},
        {"hide": ("count[0]",)},
        {"verdict": HIDE},
        {"verdict": REJECT, "for_run": True},
        {"conditions": ("x" * 3000,)},
        {"time": 1.5},
    ],
)
def test_a_vote_of_another_form_is_none(words):
    good = {"review": "r", "digest": "d", "verdict": APPROVE, "reason": "seen", "conditions": (), "for_run": False}
    with pytest.raises(ReviewError):
        Vote(**{**good, "hide": (), "time": 1, **words})

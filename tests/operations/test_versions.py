"""Which versions work together, and what older ones do with words that newer ones add."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sojourn import __version__
from sojourn.messages import AskDocument, Delivery, Poll, Publish, RoundDocument, Task, Work
from sojourn.versions import Skew, VersionsDiffer, advice, demand_near, skew

MAJOR, MINOR = (int(part) for part in __version__.split(".")[:2])
NEWER, TOO_NEW = f"{MAJOR}.{MINOR + 1}.0", f"{MAJOR}.{MINOR + 2}.0"
POLL: dict[str, Any] = {"protocol": 1, "software": __version__, "known": [], "running": [], "wait": 0.0}
DELIVERY = {"study": "0" * 32, "analysis": "a", "ask": "0" * 64, "sealed": "00", "reason": None}

numbers = st.integers(0, 40)


@pytest.mark.parametrize(
    ("other", "own", "found"),
    [
        ("1.4.0", "1.4.9", Skew.SAME),
        ("1.5.0", "1.4.9", Skew.NEWER),
        ("1.3.7", "1.4.0", Skew.OLDER),
        ("1.6.0", "1.4.0", Skew.TOO_NEW),
        ("1.2.9", "1.4.0", Skew.TOO_OLD),
        ("2.0.0", "1.9.0", Skew.TOO_NEW),
        ("1.9.0", "2.0.0", Skew.TOO_OLD),
        ("1.5.0.dev3", "1.4", Skew.NEWER),
        ("", "1.4.0", Skew.UNKNOWN),
        ("1", "1.4.0", Skew.UNKNOWN),
        ("one.two", "1.4.0", Skew.UNKNOWN),
        ("1.4.0\n", "1.4.0", Skew.UNKNOWN),
    ],
)
def test_skew(other: str, own: str, found: Skew) -> None:
    assert skew(other, own) is found


@given(a=numbers, b=numbers, c=numbers, d=numbers)
def test_both_sides_judge_alike(a: int, b: int, c: int, d: int) -> None:
    one, other = f"{a}.{b}.0", f"{c}.{d}.0"
    mirror = {Skew.NEWER: Skew.OLDER, Skew.TOO_NEW: Skew.TOO_OLD}
    mirror |= {value: key for key, value in mirror.items()}
    assert skew(one, other) is mirror.get(skew(other, one), skew(other, one))
    assert skew(one, other).works == (a == c and abs(b - d) <= 1)


def test_a_refusal_names_both_versions_and_which_to_upgrade() -> None:
    with pytest.raises(VersionsDiffer, match=r"The node runs Sojourn 0\.7\.0, the hub 0\.4\.0.*Upgrade the hub\."):
        demand_near("the node", "0.7.0", "the hub", "0.4.0")
    with pytest.raises(VersionsDiffer, match=r"The node runs Sojourn 0\.1\.0, the hub 0\.4\.0.*Upgrade the node\."):
        demand_near("the node", "0.1.0", "the hub", "0.4.0")
    assert advice("the hub", "0.5.0", "this node", "0.4.0") == "The hub runs 0.5.0, this node 0.4.0: upgrade this node."
    assert advice("the hub", "0.4.2", "this node", "0.4.0") == ""


def test_a_newer_nodes_further_words_are_left_out() -> None:
    read = Poll.model_validate_json(json.dumps(POLL | {"software": NEWER, "mood": "calm"}))
    assert read == Poll.model_validate(POLL | {"software": NEWER})
    assert "mood" not in read.model_dump()
    sent = json.dumps(DELIVERY | {"mood": "calm"})
    assert Delivery.model_validate_json(sent, context={"software": lambda: NEWER}).ask == "0" * 64


@pytest.mark.parametrize("software", [__version__, TOO_NEW, "t", 5, None])
def test_any_other_nodes_further_words_are_refused(software: Any) -> None:
    with pytest.raises(ValidationError):
        Poll.model_validate_json(json.dumps(POLL | {"software": software, "mood": "calm"}))
    with pytest.raises(ValidationError):
        Delivery.model_validate_json(json.dumps(DELIVERY | {"mood": "calm"}), context={"software": lambda: software})
    with pytest.raises(ValidationError):
        Delivery.model_validate_json(json.dumps(DELIVERY | {"mood": "calm"}))


def test_what_a_newer_node_says_must_still_be_of_the_known_form() -> None:
    with pytest.raises(ValidationError):
        Poll.model_validate_json(json.dumps(POLL | {"software": NEWER, "mood": "calm", "wait": "long"}))
    with pytest.raises(ValidationError):
        Publish.model_validate_json(json.dumps({"software": NEWER, "mood": "calm", "datasets": []}))


def test_a_hubs_further_words_are_left_out_but_not_inside_what_is_hashed() -> None:
    ask = {"step": "count", "broadcast": {}}
    task = {"study": "0" * 32, "analysis": "a", "ask": ask, "transcript": [], "request": {}, "mood": "calm"}
    work = Work.model_validate({"tasks": [task], "ended": {}, "time": 1.0, "software": NEWER, "mood": "calm"})
    assert work.tasks[0].ask == AskDocument(step="count", broadcast={})
    for kind, document in (
        (AskDocument, ask | {"mood": "calm"}),
        (Task, task | {"ask": ask | {"mood": "calm"}}),
        (RoundDocument, {"ask": ask, "answers": {}, "mood": "calm"}),
    ):
        with pytest.raises(ValidationError):
            kind.model_validate(document)


def test_a_hub_that_says_no_version_is_an_older_one_of_the_same_protocol() -> None:
    assert Work.model_validate({"tasks": [], "ended": {}, "time": 1.0}).software == ""

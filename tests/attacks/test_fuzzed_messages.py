"""Whatever is sent, hub and nodes answer in the words that they have: no failure, no traceback, no echo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hostile import HEART, HostileHub, Study, heart_dictionary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import sojourn as sj
from sojourn.analysis.partial import MOST_NUMBERS, decode
from sojourn.errors import REASONS
from sojourn.identity.keys import PrivateKey
from sojourn.messages import AskDocument, Delivery, Poll, Publish, Task
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

SITE = "Cleveland"
JSON = {"content-type": "application/json"}
FUZZ = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["", "00", "c"])
)


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Of a lambda Hypothesis looks for the source among all modules, of which the hub's threads load some meanwhile."""
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)


anything = st.recursive(scalars, nested, max_leaves=8)
arrays = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["<f8", "<i8", ">f8", "O", "|S8"]),
        "shape": st.lists(st.integers(-1, 2**70), max_size=3),
        "data": st.text(max_size=12) | st.sampled_from(["", "AAAAAAAA8H8=", "AAAAAAAAAAA="]),
    }
)


def altered(document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The document with one word changed, taken out or added; or anything at all."""
    words = st.sampled_from(sorted(document))
    changed = st.tuples(words, anything).map(lambda pair: {**document, pair[0]: pair[1]})
    without = words.map(lambda word: {name: value for name, value in document.items() if name != word})
    more = st.tuples(st.text(max_size=6), anything).map(lambda pair: {**document, pair[0]: pair[1]})
    return changed | without | more | anything


# ---- the hub


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with Federation({SITE: {"people": pd.DataFrame({"age": np.arange(40.0, 80.0)})}}) as federation:
        yield federation


@pytest.fixture(scope="module")
def node(federation: Federation) -> Iterator[httpx.Client]:
    """A client with the key of a site that joined."""
    with federation.connection(federation.nodes[SITE].key).client as client:
        yield client


@pytest.fixture(scope="module")
def member(federation: Federation) -> Iterator[httpx.Client]:
    """A client with the key of a researcher of the project."""
    with federation.connection().client as client:
        yield client


def calmly(response: httpx.Response) -> dict[str, Any]:
    """The answer's document, after the checks that hold for every answer."""
    assert response.status_code in (200, 403, 404, 409, 413, 422), response.text
    assert "Traceback" not in response.text
    assert 'File "' not in response.text
    document: dict[str, Any] = response.json()
    if response.status_code != 200:
        assert {"reason", "message", "remedy"} == set(document)
    return document


DELIVERY = {"study": "0" * 32, "analysis": "count", "ask": "0" * 64, "sealed": "00", "reason": None}
POLL = {"protocol": 1, "software": "0.1.0", "known": [], "running": ["0" * 32], "wait": 0.0}
PUBLICATION = {"datasets": [], "rules": {}, "sandbox": ""}


class TestHub:
    @pytest.mark.parametrize(("path", "document"), [("deliveries", DELIVERY), ("poll", POLL)], ids=["delivery", "poll"])
    @FUZZ
    @given(data=st.data())
    def test_what_a_node_may_send(self, path: str, document: dict[str, Any], data: Any, node: httpx.Client) -> None:
        body = data.draw(altered(document))
        if isinstance(body, dict) and "wait" in body:
            body["wait"] = (
                0.0 if body["wait"] not in (None, "", []) else body["wait"]
            )  # a long poll is not what is tested
        calmly(node.post(f"/v1/sites/{SITE}/{path}", content=json.dumps(body), headers=JSON))

    @FUZZ
    @given(body=anything)
    def test_what_a_researcher_may_send(self, body: Any, member: httpx.Client) -> None:
        calmly(member.post("/v1/studies", content=json.dumps(body), headers=JSON))

    @FUZZ
    @given(body=st.binary(max_size=200))
    def test_bytes(self, body: bytes, node: httpx.Client, member: httpx.Client) -> None:
        for path in ("deliveries", "poll", "publication"):
            calmly(node.post(f"/v1/sites/{SITE}/{path}", content=body, headers=JSON))
        calmly(member.post("/v1/studies", content=body, headers=JSON))

    @pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "1" * 5_000, "[NaN]"])
    def test_odd_json(self, body: str, node: httpx.Client, member: httpx.Client) -> None:
        calmly(member.post("/v1/studies", content=body, headers=JSON))
        calmly(node.post(f"/v1/sites/{SITE}/deliveries", content=body, headers=JSON))

    @pytest.mark.parametrize("query", ["since=99999999999999999999", "since=-1", "since=x", "wait=nan", "wait=inf"])
    def test_odd_questions(self, query: str, federation: Federation, member: httpx.Client) -> None:
        run = federation.project().submit(
            Plan(table="people", analyses={"count": sj.count()}, purpose="NRES", min_sites=1)
        )
        assert member.get(f"/v1/studies/{run.study}?{query}").status_code == 422

    def test_a_node_speaks_for_no_other_site(self, node: httpx.Client) -> None:
        response = node.post("/v1/sites/Atlantis/deliveries", content=json.dumps(DELIVERY), headers=JSON)
        assert calmly(response)["reason"] == "unknown key"

    def test_a_stranger_is_told_nothing(self, federation: Federation) -> None:
        with federation.connection(PrivateKey.generate()).client as stranger:
            for path in (f"/v1/sites/{SITE}/poll", "/v1/studies", "/v1/projects/testbed/preparations"):
                response = stranger.post(path, content=json.dumps(POLL), headers=JSON)
                assert calmly(response)["reason"] != ""
                assert response.status_code == 403


class TestWords:
    """Strict models: no other type, no further word, no number that is none."""

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_numbers_that_are_none(self, number: str) -> None:
        with pytest.raises(ValidationError):
            Poll.model_validate_json(json.dumps(POLL).replace("0.0", number))
        with pytest.raises(ValidationError):
            Publish.model_validate_json(json.dumps(PUBLICATION).replace("{}", f'{{"threshold": {number}}}'))
        with pytest.raises(ValidationError):
            Publish.model_validate_json(json.dumps(PUBLICATION).replace("[]", f'[{{"low": [{number}]}}]'))

    @pytest.mark.parametrize(
        "change",
        [
            {"protocol": "1"},
            {"protocol": 1.5},
            {"known": "abc"},
            {"known": ["ABC"]},
            {"running": [5]},
            {"wait": 31},
            {"wait": -1},
            {"debug": True},
        ],
    )
    def test_other_types_and_further_words(self, change: dict[str, Any]) -> None:
        Poll.model_validate_json(json.dumps(POLL))
        with pytest.raises(ValidationError):
            Poll.model_validate_json(json.dumps(POLL | change))

    @pytest.mark.parametrize(
        "change",
        [
            {"sealed": None},
            {"sealed": "00", "reason": "worker"},
            {"sealed": "0g"},
            {"sealed": ""},
            {"sealed": None, "reason": ""},
            {"sealed": None, "reason": "x" * 41},
            {"study": "0" * 31},
            {"ask": "0" * 63 + "G"},
        ],
    )
    def test_a_delivery_is_one_thing(self, change: dict[str, Any]) -> None:
        Delivery.model_validate_json(json.dumps(DELIVERY))
        with pytest.raises(ValidationError):
            Delivery.model_validate_json(json.dumps(DELIVERY | change))

    @FUZZ
    @given(document=arrays | anything)
    def test_arrays_are_read_or_refused(self, document: Any) -> None:
        try:
            asked = AskDocument.model_validate_json(json.dumps({"step": "newton", "broadcast": {"x": document}}))
            array = asked.ask().broadcast["x"]
        except ValueError:  # pydantic's is one
            return
        assert array.size <= MOST_NUMBERS
        assert np.isfinite(array).all()

    @pytest.mark.parametrize("data", ["AAAAAAAA+H8=", "AAAAAAAA8H8=", "AAAAAAAA8P8="])
    def test_not_a_number_has_no_bits_to_hide_in(self, data: str) -> None:
        with pytest.raises(ValueError, match="not finite"):
            decode({"dtype": "<f8", "shape": [1], "data": data})

    @pytest.mark.parametrize("shape", [[MOST_NUMBERS + 1], [10**30], [2**32, 2**32], [-1, -1], [1.0], [True], ["1"]])
    def test_huge_and_odd_arrays(self, shape: list[Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            AskDocument.model_validate(
                {"step": "x", "broadcast": {"x": {"dtype": "<f8", "shape": shape, "data": ""}}}
            ).ask()


# ---- the node


@pytest.fixture(scope="module")
def cleveland(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostileHub, Study]]:
    with HostileHub(tmp_path_factory.mktemp("fuzz"), {SITE: (HEART[SITE], heart_dictionary())}) as hub:
        model = sj.glm("disease ~ age + exang", family="binomial")
        yield hub, hub.study(Plan(table="patients", analyses={"model": model}, min_sites=1))


answers = st.dictionaries(
    st.sampled_from([SITE, "Atlantis"]), st.dictionaries(st.sampled_from(["release", "signature"]), anything)
)
rounds = st.builds(
    lambda step, broadcast, given: {"ask": {"step": step, "broadcast": broadcast}, "answers": given},
    st.sampled_from(["handshake", "start", "newton", "x"]),
    st.dictionaries(st.sampled_from(["centre", "coefficients", "x"]), arrays, max_size=2),
    answers,
)


class TestNode:
    @FUZZ
    @given(data=st.data())
    def test_a_task_is_answered_by_a_word(self, data: Any, cleveland: tuple[HostileHub, Study]) -> None:
        hub, study = cleveland
        honest = {
            "study": study.request.study,
            "analysis": "model",
            "ask": data.draw(rounds)["ask"],
            "transcript": data.draw(st.lists(rounds, max_size=2)),
            "request": study.envelope,
        }
        document = data.draw(st.just(honest) | altered(honest))
        try:
            task = Task.model_validate_json(json.dumps(document))
        except ValidationError:
            return
        row = hub.sites[SITE].decide(task)
        if row["sealed"] is None:
            assert row["reason"] in REASONS
        else:
            assert task.ask.step == "handshake"  # which anybody may ask under a signed request
        entries = [entry for entry in (row["reason"], row["note"]) if "Traceback" in entry]
        assert not entries

"""Every byte that nodes send during whole studies, good and bad, is read here and accounted for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hostile import HEART
from recorded import Figures
from sqlalchemy import select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sojourn as sj
from sojourn import testbed
from sojourn.analysis.variable import with_site
from sojourn.disclosure.gate import ReceivedRelease, Release
from sojourn.errors import REASONS
from sojourn.hub.api import application
from sojourn.hub.service import Hub
from sojourn.hub.tables import seal_keys
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import Answer, Delivery, Join, Poll, Publish, ReceivedAnswer
from sojourn.study.plan import Plan
from sojourn.testbed import Federation
from sojourn.wire.seal import open_sealed, padded_length, release_info

CANARY = 8_675_309.25  # the cholesterol of a patient in Long Beach
NAMED = "Wilhelmina Canary-Featherstonehaugh"  # begins the names by which the sites tell persons apart
SEALED_OVERHEAD = 48  # encapsulated key and tag of HPKE
HEADERS = {
    "host",
    "accept",
    "accept-encoding",
    "connection",
    "user-agent",
    "content-length",
    "content-type",
    "content-digest",
    "signature-input",
    "signature",
}
MESSAGES = {
    r"/v1/join": Join,
    r"/v1/sites/[\w.-]+/publication": Publish,
    r"/v1/sites/[\w.-]+/poll": Poll,
    r"/v1/sites/[\w.-]+/deliveries": Delivery,
}


@dataclass
class Sent:
    """One request as it reached the hub."""

    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes


@dataclass
class Tap:
    """Keeps a copy of every request to an application."""

    app: ASGIApp
    sent: list[Sent] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Sent(scope["path"], scope["query_string"], headers, b"")
        self.sent.append(request)

        async def listen() -> Message:
            message = await receive()
            request.body += message.get("body", b"")
            return message

        await self.app(scope, listen, send)

    def from_nodes(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.path.startswith(("/v1/sites/", "/v1/join"))]


@dataclass
class Studied:
    """A federation after its studies: what its nodes sent, and which words they said."""

    federation: Federation
    tap: Tap
    reasons: dict[str, set[str]]


def _tables() -> dict[str, dict[str, pd.DataFrame]]:
    tables = {site: pd.read_csv(path) for site, path in HEART.items()}
    for table in tables.values():
        table["name"] = [f"{NAMED} {number}" for number in range(len(table))]
    broken = tables["Long-Beach"]
    broken.loc[broken.index[5], "chol"] = CANARY
    return {site: {"patients": table} for site, table in tables.items()}


PLANS = {
    "good": {
        "model": sj.glm("disease ~ age + exang + oldpeak", family="binomial"),
        "table1": sj.describe("age", "oldpeak", by="exang"),
        "angina": sj.crosstab("exang", "disease"),
        "ages": sj.histogram("age", edges=[50, 60]),
    },
    "few": {"count": sj.count(by="sex"), "chol": sj.describe("chol")},
    "failing": {"model": sj.glm("chol ~ log(oldpeak)"), "outcome": sj.glm("chol ~ age", family="binomial")},
}


@pytest.fixture(scope="module")
def studied() -> Iterator[Studied]:
    """A good study, one of very few persons, one whose computation fails, and one after a snapshot was damaged."""
    taps: list[Tap] = []

    def tapped(hub: Hub) -> Any:
        taps.append(Tap(application(hub)))
        return taps[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testbed, "application", tapped)
        federation = Federation(_tables(), person="name")
    with federation:
        reasons = {}
        for name, analyses in PLANS.items():
            where = "age > 74" if name == "few" else ""
            results = federation.run(Plan(table="patients", where=where, analyses=analyses, min_sites=2))
            reasons[name] = _words(results)
        for database in federation.nodes["Cleveland"].home.folder.rglob("*.duckdb"):
            database.chmod(0o600)
            database.write_bytes(b"damaged " + database.read_bytes()[8:])
        results = federation.run(Plan(table="patients", analyses={"count": sj.count()}, min_sites=2))
        reasons["damaged"] = {results["count"].sites["Cleveland"]}
        yield Studied(federation, taps[0], reasons)


def _words(results: Any) -> set[str]:
    return {outcome for result in results.values() for outcome in result.sites.values()}


def test_the_studies_went_as_they_should(studied: Studied) -> None:
    """So that the other tests look at releases, refusals and failures, all three."""
    assert "contributed" in studied.reasons["good"]
    assert any("minimum frequency" in word or "Too few" in word for word in studied.reasons["few"])
    assert "contributed" not in studied.reasons["failing"]
    assert studied.reasons["damaged"] != {"contributed"}


def test_nodes_send_known_messages_and_nothing_else(studied: Studied) -> None:
    kinds = set()
    for sent in studied.tap.from_nodes():
        [kind] = [kind for path, kind in MESSAGES.items() if re.fullmatch(path, sent.path)]
        message = kind.model_validate_json(sent.body)
        assert json.loads(sent.body) == json.loads(message.model_dump_json())
        assert sent.query == b""
        assert set(sent.headers) <= HEADERS
        kinds.add(kind)
    assert kinds == set(MESSAGES.values())


def test_a_publication_is_the_approved_dictionary(studied: Studied) -> None:
    for sent in studied.tap.from_nodes():
        if sent.path.endswith("/publication"):
            site = sent.path.split("/")[3]
            assert json.loads(sent.body) == studied.federation.nodes[site].publication().model_dump(mode="json")
            numbers = re.findall(rb":\s*(-?[0-9.]+)", json.dumps(json.loads(sent.body)["datasets"]).encode())
            assert not numbers  # no counts, no ranges that were taken from the data


def deliveries(studied: Studied) -> list[tuple[str, Delivery]]:
    return [
        (sent.path.split("/")[3], Delivery.model_validate_json(sent.body))
        for sent in studied.tap.from_nodes()
        if sent.path.endswith("/deliveries")
    ]


def test_a_delivery_is_a_word_of_the_list_or_sealed(studied: Studied) -> None:
    said = set()
    for _, delivery in deliveries(studied):
        assert (delivery.sealed is None) != (delivery.reason is None)
        if delivery.reason is not None:
            assert delivery.reason in REASONS
            said.add(delivery.reason)
    assert len(said) >= 3


def test_sealed_answers_have_few_sizes(studied: Studied, figures: Figures) -> None:
    sizes, plain = set(), set()
    for _, delivery in deliveries(studied):
        if delivery.sealed is not None:
            size = len(bytes.fromhex(delivery.sealed)) - SEALED_OVERHEAD
            assert size == padded_length(size)
            sizes.add(size)
    for node in studied.federation.nodes.values():
        plain |= {len(json.dumps(row["answer"])) for row in node.released() if row["answer"] is not None}
    assert 0 < len(sizes) < len(plain)
    figures(
        "A26",
        "the length of each sealed answer of whole studies",
        without=f"{len(plain)} lengths of the answers themselves",
        with_defence=f"{len(sizes)} lengths, all of them steps of the padding",
        mark="every length is a step of the padding",
        benign="the same answers are opened and read at the hub",
    )


def test_what_is_sealed_is_the_release_that_the_custodian_sees(studied: Studied) -> None:
    """A release under the site's signature, of this study and ask, with the step's arrays; nothing beside it."""
    hub = studied.federation.hub
    keys = {row["public"]: row["private"] for row in hub.store.rows(select(seal_keys))}
    opened = 0
    for site, delivery in deliveries(studied):
        if delivery.sealed is None:
            continue
        row = hub.store.study(delivery.study)
        request = Request.read(Envelope.from_dict(json.loads(row["request"])))
        info = release_info(study=delivery.study, analysis=delivery.analysis, round=delivery.ask, site=site)
        document = json.loads(open_sealed(keys[request.seal_key], bytes.fromhex(delivery.sealed), info))
        release = ReceivedAnswer.read(document, PublicKey.from_hex(request.roster[site])).release
        header = release.header
        assert (header.study, header.analysis, header.ask, header.site) == (
            delivery.study,
            delivery.analysis,
            delivery.ask,
            site,
        )
        plan = Plan.from_dict(dict(request.plan))
        steps = plan.analyses[delivery.analysis].steps(_with_site(plan, request))
        assert any(set(step.partial) == set(release.partial.arrays) for step in steps)
        stored = studied.federation.nodes[site].store.release(delivery.study, delivery.analysis, delivery.ask)
        assert json.loads(stored["answer"]) == document
        opened += 1
    assert opened >= 10


def _with_site(plan: Plan, request: Request) -> Any:
    return with_site(plan.variables, tuple(request.roster))


def test_no_value_of_a_record_is_anywhere_outside(studied: Studied, figures: Figures) -> None:
    """The canaries are in no request, and in no file of the hub; the site's own journal may hold them."""
    sent = b"\n".join(
        request.path.encode() + str(request.headers).encode() + request.body for request in studied.tap.sent
    )
    files = [path for path in (studied.federation.folder / "hub").rglob("*") if path.is_file()]
    assert files
    outside = sent + b"\n".join(path.read_bytes() for path in files)
    for canary in (NAMED, NAMED.split()[1], "8675309", "Traceback", "duckdb", str(studied.federation.folder)):
        assert canary.encode() not in outside
    site = studied.federation.nodes["Long-Beach"].home.folder
    assert any(b"8675309" in path.read_bytes() or b"Canary" in path.read_bytes() for path in site.rglob("*.parquet"))
    figures(
        "D10",
        "a planted value and planted names, in studies that succeed, are refused and fail",
        without="both are in the site's own files",
        with_defence="0 of them in every byte that nodes sent and every file of the hub",
        mark="0 found",
        benign="the studies' releases and reasons arrive",
    )


class TestAnswer:
    """Only what the gate made can be signed and sent."""

    def test_nothing_but_a_release_of_the_gate_is_signed(self) -> None:
        key = PrivateKey.generate()
        for other in (object(), {"header": {}, "tier": "low", "partial": {}}, None, ReceivedRelease):
            with pytest.raises(TypeError):
                Answer(other, key)  # type: ignore[arg-type]

    def test_a_received_release_is_not_signed_again(self, studied: Studied) -> None:
        rows = studied.federation.nodes["Cleveland"].released()
        document = next(row["answer"] for row in rows if row["answer"] is not None)
        received = ReceivedRelease.from_dict(document["release"])
        with pytest.raises(TypeError):
            Answer(received, PrivateKey.generate())  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            Release(received.header, received.partial, "low", object())  # type: ignore[arg-type]

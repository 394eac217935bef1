"""The in-memory seam: the same client, straight into an application of this process."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sojourn.errors import IdentityError, TransportError
from sojourn.identity.keys import PrivateKey
from sojourn.wire.requests import Nonces, RequestRefused, SignedAuth, target, verify
from sojourn.wire.transport import (
    MAX_ANSWER,
    AccessRefused,
    Loop,
    ServerRefused,
    call,
    in_memory_client,
)

KEY = PrivateKey.generate()
CANARY = "patient-7731"


class Gathering:
    """Opens when `size` requests wait at the same time."""

    def __init__(self, size):
        self.size = size
        self.waiting = 0
        self.event = None


@pytest.fixture
def app():
    app = FastAPI()
    nonces = Nonces()
    gathering = Gathering(3)

    @app.api_route("/signed", methods=["GET", "POST", "DELETE"])
    async def signed(request: Request) -> Response:
        try:
            key = verify(
                request.method,
                target(request.scope),
                request.headers,
                await request.body(),
                key_of={KEY.public.hex: KEY.public}.get,
                now=time.time(),
                seen=nonces,
                audience="federation",
            )
        except RequestRefused as refusal:
            document = {"reason": refusal.reason, "message": "Not signed.", "remedy": refusal.remedy}
            return JSONResponse(document, status_code=401)
        return JSONResponse({"key": key.hex, "length": len(await request.body())})

    @app.get("/gather")
    async def gather() -> dict[str, int]:
        gathering.event = gathering.event or asyncio.Event()
        gathering.waiting += 1
        if gathering.waiting == gathering.size:
            gathering.event.set()
        await gathering.event.wait()
        return {"waiting": gathering.waiting}

    @app.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    @app.get("/blocking")
    def blocking() -> dict[str, str]:
        return {"thread": threading.current_thread().name}

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError(CANARY)

    @app.post("/typed")
    async def typed(document: dict[str, int]) -> dict[str, int]:
        return document

    @app.get("/answer")
    async def answer(kind: str) -> Response:
        refused = {"reason": "no table", "message": "There is no such table.", "remedy": "Ask for another."}
        return {
            "refused": lambda: JSONResponse(refused, 404),
            "forbidden": lambda: JSONResponse(refused, 403),
            "more": lambda: JSONResponse({**refused, "detail": CANARY}, 404),
            "long": lambda: JSONResponse({**refused, "message": "x" * 2000}, 404),
            "escape": lambda: JSONResponse({**refused, "message": "\x1b[2J"}, 404),
            "page": lambda: PlainTextResponse(CANARY, 502),
            "list": lambda: JSONResponse([CANARY]),
            "text": lambda: PlainTextResponse(CANARY),
            "redirect": lambda: Response(status_code=307, headers={"Location": "/blocking"}),
            "none": lambda: Response(status_code=204),
            "zipped": lambda: Response(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"}),
            "huge": lambda: Response(b" " * (MAX_ANSWER + 1)),
        }[kind]()

    return app


@pytest.fixture
def loop():
    with Loop() as loop:
        yield loop


@pytest.fixture
def client(app, loop):
    with in_memory_client(app, SignedAuth(KEY, audience="federation"), loop, timeout=20) as client:
        yield client


@pytest.mark.parametrize(("method", "json"), [("GET", None), ("POST", {"a": 1}), ("DELETE", None)])
def test_signed_requests_arrive_as_they_were_signed(client, method, json):
    document = call(client, method, "/signed?a=%2Fb&c=d%20e", json=json)
    assert document == {"key": KEY.public.hex, "length": 7 if json else 0}


def test_unsigned_request_is_refused_with_the_servers_reason(app, loop):
    with in_memory_client(app, None, loop) as client, pytest.raises(AccessRefused) as caught:
        call(client, "GET", "/signed")
    assert caught.value.reason == "signature"
    assert isinstance(caught.value, IdentityError)


def test_replayed_request_is_refused(client):
    first = client.build_request("GET", "/signed")
    signed = next(SignedAuth(KEY, audience="federation").auth_flow(first))
    answers = [client.send(signed, auth=None).status_code for _ in range(2)]
    assert answers == [200, 401]


def test_long_polls_of_three_threads_wait_together(client):
    """None is answered before all three wait, so one that blocked another would never end."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(call(client, "GET", "/gather"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"waiting": 3}] * 3


def test_long_poll_does_not_hold_up_other_requests(app, loop):
    failures = []
    with in_memory_client(app, None, loop) as client:

        def poll():
            with pytest.raises(TransportError) as caught:
                call(client, "GET", "/never")
            failures.append(caught.value)

        waiting = threading.Thread(target=poll)
        waiting.start()
        assert call(client, "GET", "/blocking")["thread"] != threading.current_thread().name
        loop.close()
        waiting.join()
    assert len(failures) == 1


def test_many_threads_may_ask_at_once(client):
    answers = []

    def ask():
        answers.extend(call(client, "POST", "/signed", json={"n": n})["key"] for n in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [KEY.public.hex] * 80


def test_answer_that_does_not_come_ends_in_time(app, loop):
    with in_memory_client(app, None, loop, timeout=0.05) as client, pytest.raises(TransportError, match="in time"):
        call(client, "GET", "/never")


def test_closed_loop_answers_nothing(app):
    loop = Loop().start()
    loop.close()
    loop.close()
    with in_memory_client(app, None, loop) as client, pytest.raises(TransportError, match="could not be reached"):
        call(client, "GET", "/blocking")


def test_error_document_is_shown(client):
    with pytest.raises(ServerRefused, match="There is no such table") as caught:
        call(client, "GET", "/answer?kind=refused")
    assert (caught.value.status, caught.value.reason, caught.value.remedy) == (404, "no table", "Ask for another.")


def test_refused_right_is_an_identity_error(client):
    with pytest.raises(IdentityError, match="There is no such table"):
        call(client, "GET", "/answer?kind=forbidden")


@pytest.mark.parametrize("kind", ["more", "long", "escape", "page", "list", "text", "redirect", "zipped", "huge"])
def test_body_of_any_other_form_is_not_repeated(client, kind):
    with pytest.raises(TransportError) as caught:
        call(client, "GET", f"/answer?kind={kind}")
    assert CANARY not in str(caught.value)
    assert "x" * 100 not in str(caught.value)
    assert str(caught.value).isprintable()


def test_failure_inside_the_application_is_status_500_without_its_text(client):
    with pytest.raises(ServerRefused) as caught:
        call(client, "GET", "/broken")
    assert caught.value.status == 500
    assert CANARY not in str(caught.value)


def test_frameworks_own_error_which_repeats_the_question_is_not_shown(client):
    with pytest.raises(ServerRefused) as caught:
        call(client, "POST", "/typed", json={"a": CANARY})
    assert caught.value.status == 422
    assert CANARY not in str(caught.value)


def test_empty_answer_is_an_empty_document(client):
    assert call(client, "GET", "/answer?kind=none") == {}


def test_same_client_class_as_over_the_network(client):
    assert isinstance(client, httpx.Client)
    assert not client.trust_env
    assert not client.follow_redirects

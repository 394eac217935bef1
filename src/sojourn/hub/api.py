"""The hub's web interface: proves who calls, reads the message, calls one function of the hub. No rule lives here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from sojourn import __version__
from sojourn.errors import AuditError, IdentityError, SojournError
from sojourn.hub import views
from sojourn.hub.measured import REASON, Measured
from sojourn.hub.service import Hub
from sojourn.identity.keys import PublicKey
from sojourn.messages import Delivery, Greeting, Join, Poll, Publish, Recall, Task, Work
from sojourn.storage.witnessing import Heard
from sojourn.versions import demand_near
from sojourn.wire.requests import Nonces, RequestRefused, target, verify

MOST_BYTES = 64 * 1024 * 1024
RETRY_AFTER = 10  # seconds; a disk that is full is not so for milliseconds
THREADS = 4  # that answer requests: more share the same processor, each with memory and a connection of its own
GATHERING = 0.02  # seconds in which a round's events come together, so that a watching researcher asks once a round
MOST_WRITTEN = 32  # tasks whose JSON is kept
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Since = Annotated[int, Query(ge=0, le=2**31)]
Wait = Annotated[float, Query(ge=0, le=30, allow_inf_nan=False)]


def application(hub: Hub, remembered: int = 200_000) -> FastAPI:
    """The ASGI application of one hub. remembered: nonces of the last two minutes, of nodes and of researchers."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(
        title="Sojourn hub", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    # Apart, so that neither side can fill the other's memory.
    nodes, researchers = Nonces(remembered), Nonces(remembered)

    async def node(request: Request, site: str, kind: type[M], then: Callable[[PublicKey, M], T]) -> T:
        body = await _body(request)

        def answer() -> T:
            try:
                key = _prove(hub, request, body, lambda _: hub.node_key(site), nodes)
            except RequestRefused as error:
                hub.note_clock(site, error.ahead)
                raise
            hub.note_clock(site, 0.0)
            return then(key, _read(kind, body, lambda: hub.software_of(site)))

        return await run_in_threadpool(answer)

    async def researcher(request: Request) -> tuple[PublicKey, bytes]:
        body = await _body(request)
        return await run_in_threadpool(_prove, hub, request, body, hub.researcher_key, researchers), body

    async def newcomer(request: Request) -> tuple[PublicKey, bytes]:
        # Anybody may knock, so nothing is remembered: the one-time token stops a repetition.
        body = await _body(request)
        return await run_in_threadpool(_prove, hub, request, body, any_key, lambda _: False), body

    _errors(app)
    app.add_middleware(Measured, hub=hub)
    _node_routes(app, hub, newcomer, node)
    _client_routes(app, hub, researcher)

    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "software": __version__, "time": hub.clock()}

    @app.get("/v1/ready")
    async def ready() -> JSONResponse:
        reasons = await run_in_threadpool(hub.ready.reasons)
        document = {"ready": not reasons, "reasons": reasons, "software": __version__}
        return JSONResponse(document, 503 if reasons else 200)

    @app.get("/v1/log/checkpoint")
    async def checkpoint() -> dict[str, str]:
        return {"checkpoint": await run_in_threadpool(hub.store.checkpoint)}

    return app


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413)
    return bytes(body)


def _prove(
    hub: Hub,
    request: Request,
    body: bytes,
    key_of: Callable[[str], PublicKey | None],
    seen: Callable[[str], bool],
) -> PublicKey:
    """The key that signed a request with this body. The nonce of an unknown key is not remembered."""
    return verify(
        request.method,
        target(request.scope),
        request.headers,
        body,
        key_of=key_of,
        now=hub.clock(),
        seen=seen,
        audience=hub.store.origin,
    )


def _read(kind: type[M], body: bytes, software: Callable[[], str] = str) -> M:
    """The message; where it cannot be read and its sender's version is too far from ours, that is what is said."""
    try:
        return kind.model_validate_json(body, context={"software": software})
    except ValidationError:
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            demand_near("the node", str(json.loads(body).get("software", "")), "the hub")
        raise


def any_key(key: str) -> PublicKey | None:
    """A key id that is a whole public key: it proves possession and nothing else."""
    return PublicKey.from_hex(key) if len(key) == 64 else None


def _errors(app: FastAPI) -> None:
    @app.exception_handler(SojournError)
    async def refused(request: Request, error: SojournError) -> JSONResponse:
        status = 403 if isinstance(error, IdentityError) else 503 if isinstance(error, AuditError) else 409
        words = str(error.args[0]) if error.args else ""
        reason = request.scope[REASON] = getattr(error, "reason", "") or type(error).__name__
        later = {"Retry-After": str(RETRY_AFTER)} if status == 503 else None
        return JSONResponse({"reason": reason, "message": words, "remedy": error.remedy}, status, later)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def malformed(_: Request, error: ValidationError | RequestValidationError) -> JSONResponse:
        places = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        message = f"The message is not of the agreed form at: {', '.join(places)[:200]}."
        return JSONResponse({"reason": "malformed", "message": message, "remedy": "Upgrade the older side."}, 422)


Node = Callable[[Request, str, type[Any], Callable[[PublicKey, Any], Any]], Awaitable[Any]]
Signer = Callable[[Request], Awaitable[tuple[PublicKey, bytes]]]


def _node_routes(app: FastAPI, hub: Hub, newcomer: Signer, node: Node) -> None:
    writer = _Writer()

    @app.post("/v1/join")
    async def join(request: Request) -> Any:
        key, body = await newcomer(request)
        return await run_in_threadpool(hub.join, _read(Join, body), key)

    @app.post("/v1/sites/{site}/publication")
    async def publish(site: str, request: Request) -> dict[str, bool]:
        await node(request, site, Publish, lambda _, message: hub.publish(site, message))
        return {"published": True}

    @app.post("/v1/sites/{site}/standing")
    async def standing(site: str, request: Request) -> Any:
        return await node(request, site, Greeting, lambda _key, _message: hub.standing(site))

    @app.post("/v1/sites/{site}/poll")
    async def poll(site: str, request: Request) -> Response:
        def begin(key: PublicKey, message: Poll) -> tuple[PublicKey, Poll, Heard, Work]:
            heard = hub.hear(site, message)
            return key, message, heard, hub.poll(site, message, heard)

        def again() -> Work:
            hub.demand_site(site, key)
            return hub.poll(site, message, heard)

        with hub.bell.listening(f"site:{site}") as listener:
            key, message, heard, work = await node(request, site, Poll, begin)
            until = time.monotonic() + message.wait
            while True:
                left = until - time.monotonic()
                if work.tasks or work.ended or heard.fresh or left <= 0 or hub.bell.closed:
                    # Checked when it was made: a long transcript is not checked again on its way out.
                    return Response(writer.write(work), media_type="application/json")
                await listener.heard(left)
                work = await run_in_threadpool(again)

    @app.post("/v1/sites/{site}/deliveries")
    async def deliver(site: str, request: Request) -> Response:
        done = await node(request, site, Delivery, lambda key, message: hub.deliver(site, key, message))
        return Response(done.model_dump_json(exclude_unset=True), media_type="application/json")

    @app.post("/v1/sites/{site}/recall")
    async def recall(site: str, request: Request) -> Any:
        return await node(request, site, Recall, lambda _, message: hub.recall(site, message))


class _Writer:
    """Writes one hub's answers to polls; of its event loop alone. What was not set is not said, as an older node does
    not know the word.
    """

    def __init__(self) -> None:
        self._written: dict[int, tuple[Task, bytes]] = {}  # by identity; each holds its task

    def write(self, work: Work) -> bytes:
        """The JSON of an answer."""
        rest = work.model_dump_json(exclude_unset=True, exclude={"tasks"}).encode()
        return b'{"tasks":[' + b",".join(map(self._task, work.tasks)) + b"]," + rest[1:]

    def _task(self, task: Task) -> bytes:
        """Written once for all sites that are asked the same: `Studies` gives them the same object."""
        if id(task) not in self._written:
            while len(self._written) >= MOST_WRITTEN:
                del self._written[next(iter(self._written))]
            self._written[id(task)] = (task, task.model_dump_json(exclude_unset=True).encode())
        return self._written[id(task)][1]


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IdentityError("The request cannot be read.", remedy="Submit it with `sojourn study submit`.")
    return document


def _client_routes(app: FastAPI, hub: Hub, researcher: Signer) -> None:
    @app.post("/v1/projects/{project}/preparations")
    async def prepare(project: str, request: Request) -> Any:
        key, _ = await researcher(request)
        return await run_in_threadpool(hub.prepare, project, key)

    @app.post("/v1/studies")
    async def submit(request: Request) -> Any:
        key, body = await researcher(request)
        return await run_in_threadpool(hub.submit, _document(body), key)

    @app.get("/v1/studies/{study}")
    async def show(study: str, request: Request, since: Since = 0, wait: Wait = 0.0) -> Any:
        key, _ = await researcher(request)
        until = time.monotonic() + wait
        with hub.bell.listening(f"study:{study}") as listener:
            while True:
                seen = await run_in_threadpool(views.view, hub, study, key, since)
                left = until - time.monotonic()
                if seen.events or seen.finished is not None or left <= 0 or hub.bell.closed:
                    return seen
                if await listener.heard(left):
                    await asyncio.sleep(GATHERING)

    @app.get("/v1/studies/{study}/results")
    async def results(study: str, request: Request) -> Response:
        key, _ = await researcher(request)

        def written() -> bytes:  # in one go: of all sites' answers no further copy as objects or as text
            return to_json(views.results(hub, study, key))

        return Response(await run_in_threadpool(written), media_type="application/json")

    @app.post("/v1/studies/{study}/cancellation")
    async def cancel(study: str, request: Request) -> dict[str, bool]:
        key, _ = await researcher(request)
        await run_in_threadpool(views.demand_researcher, hub, study, key)
        return {"cancelled": await run_in_threadpool(hub.cancel, study, key)}

"""The one seam for HTTP: the same `httpx.Client` over TLS, over a local socket, or straight into an application.

Programs call `call` and see only `TransportError` and `IdentityError`. Nothing from the environment (proxies, further
authorities) is used, redirects are not followed, answers have a largest size and waiting has an end.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Self

from starlette.types import ASGIApp

from sojourn.errors import ConfigurationError, IdentityError, TransportError
from sojourn.operations.lean import without
from sojourn.wire.authorities import pinned_context
from sojourn.wire.requests import SignedAuth
from sojourn.wire.sockets import address_of

with without("httpx._main"):
    import httpx

MAX_ANSWER = 64 * 2**20
"""Largest answer that a client reads, in bytes."""
_CONNECT_SECONDS = 10.0
_MAX_SENTENCE = 1000

_STATUS_REMEDIES = {
    401: "Use a key that the other side knows, e.g. the one that you registered with `sojourn login`.",
    403: "Ask the people who run the other side for the permission.",
    404: "Check the name or number that you asked for.",
    413: "Send less at once.",
    503: "Wait a little and try again.",
}


class ServerRefused(TransportError):
    """The other side answered with a failure. `status`: HTTP's; `reason`: its word for it, or empty."""

    def __init__(self, message: str, *, remedy: str, status: int, reason: str) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.reason = reason


class AccessRefused(IdentityError):
    """The other side does not accept our key or its rights (401, 403). `reason`: its word for it, or empty."""

    def __init__(self, message: str, *, remedy: str, reason: str) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


def https_client(base_url: str, ca_pem: str, auth: SignedAuth | None, timeout: float) -> httpx.Client:
    """A client that talks only to a server with a certificate of this authority. timeout: of each read, in seconds."""
    if not base_url.startswith("https://"):
        raise ConfigurationError("Not an https address.", remedy="Use the hub's address, which starts with https://.")
    transport = httpx.HTTPTransport(verify=pinned_context(ca_pem), trust_env=False)
    return _client(base_url, transport, auth, timeout)


def unix_client(path: Path, timeout: float) -> httpx.Client:
    """A client of a program on the same machine, over its socket file: who may open the file may ask."""
    return _client("http://localhost", httpx.HTTPTransport(uds=address_of(path), trust_env=False), None, timeout)


def in_memory_client(app: ASGIApp, auth: SignedAuth | None, loop: Loop, timeout: float = 60.0) -> httpx.Client:
    """A client of an application in this process: the same client and the same bytes, without a network."""
    return _client("https://in-memory.invalid", _ApplicationTransport(app, loop), auth, timeout)


def call(client: httpx.Client, method: str, path: str, json: Any = None) -> dict[str, Any]:
    """Send a JSON document and read one; `{}` where the answer is empty.

    TransportError: the other side was not reached, did not prove who it is or did not answer as it must; ServerRefused,
    one of them: it answered with a failure; AccessRefused, an IdentityError: it does not accept our key or rights. An
    answer's text is shown only where it is an error document: `{"reason", "message", "remedy"}`, three short texts.
    """
    try:
        response = client.request(method, path, json=json)
    except httpx.TimeoutException as error:
        raise TransportError("The other side did not answer in time.", remedy="Try again later.") from error
    except httpx.HTTPError as error:
        raise _unreached(error) from error
    if response.status_code >= 400:
        raise _refusal(response)
    if response.status_code == 204:
        return {}
    document = _json_object(response)
    if response.status_code >= 300 or document is None:
        raise TransportError(
            "The other side did not answer as a Sojourn program does.",
            remedy="Check the address, and whether a proxy between answers in its place.",
        )
    return document


class Loop:
    """An event loop in a thread of its own, in which applications of this process answer. Use it in a `with`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="sojourn-applications", daemon=True)

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Cancel what still waits, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set_result, None)
            self._thread.join()
        self._loop.close()

    def answer(
        self, transport: httpx.AsyncBaseTransport, request: httpx.Request, timeout: float | None
    ) -> httpx.Response:
        """What the application answers, read completely; httpx's own errors where there is none. For any thread."""
        if not self._thread.is_alive():
            raise httpx.ConnectError("the loop does not run", request=request)
        future = asyncio.run_coroutine_threadsafe(_read_all(transport, request), self._loop)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            future.cancel()
            raise httpx.ReadTimeout("no answer", request=request) from error
        except CancelledError as error:
            raise httpx.ReadError("the loop was closed", request=request) from error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_closed())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    async def _until_closed(self) -> None:
        await self._closing
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _read_all(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = b"".join([chunk async for chunk in response.stream])
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


class _ApplicationTransport(httpx.BaseTransport):
    """Sends a request into an ASGI application; a failure inside becomes status 500, as behind a real server."""

    def __init__(self, app: ASGIApp, loop: Loop) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._loop.answer(self._transport, request, request.extensions["timeout"]["read"])


class _BoundedTransport(httpx.BaseTransport):
    """Refuses answers that are longer than `MAX_ANSWER`, also after decoding, by taking none that is encoded."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise httpx.DecodingError("an encoded answer was not asked for", request=request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream)
        return response

    def close(self) -> None:
        self._transport.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        length = 0
        for chunk in self._stream:
            length += len(chunk)
            if length > MAX_ANSWER:
                raise TransportError("The other side's answer is too long.", remedy="Report this to who runs it.")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _client(base_url: str, transport: httpx.BaseTransport, auth: SignedAuth | None, timeout: float) -> httpx.Client:
    return httpx.Client(
        base_url=base_url,
        transport=_BoundedTransport(transport),
        auth=auth,
        timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=False,
    )


def _unreached(error: httpx.HTTPError) -> TransportError:
    if "[SSL" in str(error):  # httpx tells TLS failures by the text only
        return TransportError(
            "The other side did not prove who it is.",
            remedy="Check the address and the ca.pem by its fingerprint; do not go on if they are right.",
        )
    return TransportError(
        "The other side could not be reached.", remedy="Check the address, the network and whether it is running."
    )


def _refusal(response: httpx.Response) -> AccessRefused | ServerRefused:
    status = response.status_code
    reason, message, remedy = _error_document(response) or (
        "",
        f"The other side refused or failed (HTTP status {status}).",
        _STATUS_REMEDIES.get(status, "Ask the people who run the other side, whose log holds the details."),
    )
    if status in (401, 403):
        return AccessRefused(message, remedy=remedy, reason=reason)
    return ServerRefused(message, remedy=remedy, status=status, reason=reason)


def _error_document(response: httpx.Response) -> tuple[str, str, str] | None:
    """Reason, message and remedy; nothing from a body of any other form, which could repeat what was sent."""
    match _json_object(response):
        case {"reason": str(reason), "message": str(message), "remedy": str(remedy)}:
            texts = (reason, message, remedy)
            return texts if all(len(text) <= _MAX_SENTENCE and text.isprintable() for text in texts) else None
        case _:
            return None


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None

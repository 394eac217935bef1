"""Running an application: over TLS 1.3 for the federation, or on a local socket for the machine's own administrator."""

from __future__ import annotations

import asyncio
import asyncio.sslproto as sslproto
import contextlib
import ctypes
import json
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from sojourn.errors import ConfigurationError
from sojourn.wire.sockets import address_of

MAX_QUESTION = 64 * 2**20
"""Largest request body that a server reads, in bytes."""
_SWITCH = 0.0005  # seconds after which a thread lets another one go on: a round passes through many of them
_M_ARENA_MAX, _ARENAS = -8, 2  # glibc's mallopt: a heap for each thread would keep what that thread needed once
_PIECE, _MANY = 4096, 16  # bytes that TLS has of a connection at once; pieces of an answer, where it is not a long one
_START_SECONDS = 30
_STOP_SECONDS = 5
_FAREWELL_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 75  # longer than any client's, so that none sends into a connection that we just closed
_BACKLOG = 128
_ENDING = (signal.SIGINT, signal.SIGTERM)


def settle_process() -> None:
    """For a program that serves for weeks from many threads: quick turns between them, few heaps, one BLAS thread each.

    The same sums then have the same last digits, however many cores there are.
    """
    threadpool_limits(limits=1, user_api="blas")
    sys.setswitchinterval(_SWITCH)
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc has no such setting
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def serve(app: ASGIApp, host: str, port: int, *, cert: Path, key: Path, grace: int = 5) -> Server:
    """A server of HTTPS on this address, not yet started; port 0 takes a free one. grace: see `Server.stop`."""
    return serve_on(app, listen(host, port), cert=cert, key=key, grace=grace)


def serve_on(app: ASGIApp, listener: socket.socket, *, cert: Path, key: Path, grace: int = 5) -> Server:
    """The same on a bound socket, which several programs may share: each connection comes to one of them."""
    return Server(app, listener, tls=(cert, key), grace=grace)


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket bound to this address; ConfigurationError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only on sockets that say they are TCP; else each answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"The address {host}, port {port}, cannot be had.", remedy="Choose another port, or stop what uses it."
        ) from error
    return listener


def serve_locally(app: ASGIApp, path: Path, grace: int = 5) -> Server:
    """A server on a socket file that only its owner may open (0600), not yet started. A dead one's file is replaced."""
    _remove_dead_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address_of(path))
        # Nobody can connect before `listen`, so there is no moment with a looser mode.
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"The socket {path.name} cannot be made.", remedy="Use a folder of your own."
        ) from error
    return Server(app, listener, socket_file=path, grace=grace)


class Server:
    """A uvicorn server in a thread. Use it in a `with`, or `start` and `stop`."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        tls: tuple[Path, Path] | None = None,
        socket_file: Path | None = None,
        grace: int = 5,
    ) -> None:
        self._listener = listener
        self._socket_file = socket_file
        self._grace = grace
        self._address = listener.getsockname()
        self._ready = threading.Event()
        self._config = uvicorn.Config(
            _bounded(app),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws="none",
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
            ssl_context_factory=_tls_context if tls else None,
        )
        self._server = _Announcing(self._config, self._ready)
        self._thread = threading.Thread(target=self._run, name="sojourn-server", daemon=True)

    @property
    def port(self) -> int:
        """The real port, also where 0 was asked for; 0 for a socket file."""
        name = self._address
        return int(name[1]) if isinstance(name, tuple) else 0

    def start(self) -> Self:
        """Return when the server listens; ConfigurationError when it does not come to that."""
        try:
            self._config.load()
        except OSError as error:  # ssl.SSLError is one
            self.stop()
            raise ConfigurationError(
                "The certificate and its key cannot be used.", remedy="Issue them again with `sojourn hub init`."
            ) from error
        self._thread.start()
        self._ready.wait(_START_SECONDS)
        if not self._server.started:
            self.stop()
            raise ConfigurationError("The server did not start.", remedy="Read its log, which holds the details.")
        return self

    def wait(self) -> None:
        """Return when the server has ended."""
        self._thread.join()

    def stop(self) -> None:
        """Take no more requests, let running ones end for `grace` seconds, cancel the rest; bounded."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(self._grace + _STOP_SECONDS)
        self._listener.close()
        if self._socket_file is not None:
            self._socket_file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            # uvicorn ends a failed start by SystemExit
            with contextlib.suppress(SystemExit):
                self._server.run(sockets=[self._listener])
        finally:
            self._ready.set()


class _Announcing(uvicorn.Server):
    """Tells when it listens, and ends with no connection left open."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cutting = asyncio.create_task(self._cut_parted())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()
        # uvicorn cancels what still runs when the grace is over, but leaves its connections to the garbage collector.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _cut_parted(self) -> None:
        """Cut connections that we closed a moment ago: an idle client does not answer TLS's farewell."""
        parted: set[Any] = set()
        while True:
            for connection in list(self.server_state.connections):
                if connection in parted:
                    connection.transport.abort()
                elif connection.transport.is_closing():
                    parted.add(connection)
            await asyncio.sleep(_FAREWELL_SECONDS)


def _remove_dead_socket(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address_of(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigurationError(f"A program already listens on {path.name}.", remedy="Stop it first.")


def _bounded(app: ASGIApp) -> ASGIApp:
    """Refuse a body that is too long, or does not say how long it is, before any of it is read."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"transfer-encoding" in headers:
            await _refuse(send, 411, "The request does not say how long it is.", "Send it with a Content-Length.")
        elif int(headers.get(b"content-length", 0)) > MAX_QUESTION:
            await _refuse(send, 413, "The request is too long.", "Send less at once.")
        else:
            await app(scope, receive, _in_pieces(send))

    return bounded


def _in_pieces(send: Send) -> Send:
    """Sends a body a piece at a time: as much as TLS had of a connection at once, it keeps room for until it ends."""

    async def pieces(message: Message) -> None:
        body, last = message.get("body", b""), 0
        if _PIECE < len(body) <= _MANY * _PIECE:
            for last in range(_PIECE, len(body), _PIECE):
                await send({"type": message["type"], "body": body[last - _PIECE : last], "more_body": True})
            message = {**message, "body": body[last:]}
        await send(message)

    return pieces


async def _refuse(send: Send, status: int, message: str, remedy: str) -> None:
    body = json.dumps({"reason": "malformed", "message": message, "remedy": remedy}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# asyncio keeps a buffer of 256 KiB for each TLS connection, of which one record fills 16: 50 MB for 200 idle sites.
sslproto.SSLProtocol.max_size = _PIECE


def _tls_context(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def until_told_to_stop() -> None:
    """Return at SIGINT or SIGTERM; a second one ends the program at once. For the main thread of a program."""
    told = threading.Event()

    def tell(*_: object) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        told.set()

    for number in _ENDING:
        signal.signal(number, tell)
    told.wait()

"""Local administration of a running program: a few named functions behind a socket that only its owner can open."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sojourn.errors import ConfigurationError, SojournError
from sojourn.wire.sockets import address_of
from sojourn.wire.transport import call, unix_client

Functions = Mapping[str, Callable[..., Any]]
PATIENCE = 600.0  # seconds; importing a dataset takes a while


def administration(functions: Functions) -> Starlette:
    """An application with one route a function; arguments and results are JSON. Serve it with `serve_locally`."""

    async def run(request: Request) -> JSONResponse:
        name, arguments = str(request.path_params["name"]), await request.json()
        try:
            if name not in functions:
                raise ConfigurationError("The running program does not know this command.", remedy="Restart it.")
            return JSONResponse({"result": await run_in_threadpool(lambda: functions[name](**arguments))})
        except SojournError as error:
            words = str(error.args[0]) if error.args else ""
            return JSONResponse({"reason": type(error).__name__, "message": words, "remedy": error.remedy}, 409)

    return Starlette(routes=[Route("/{name}", run, methods=["POST"])])


def administer(path: Path, name: str, /, **arguments: Any) -> Any:
    """Call a function of the program that listens at the socket file `path`."""
    with unix_client(path, PATIENCE) as client:
        return call(client, "POST", f"/{name}", arguments)["result"]


def listens(path: Path) -> bool:
    """Whether a program listens there; the file of one that was killed is left behind and answers nobody."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address_of(path))
        except (ConnectionRefusedError, FileNotFoundError):  # left behind, or just cleared by a program that starts
            return False
    return True

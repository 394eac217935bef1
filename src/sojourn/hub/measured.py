"""Measures every request to the hub and says which were not served, by the route's form and never by its path."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sojourn.hub.service import Hub
from sojourn.operations.logs import error_fields

REASON = "sojourn.reason"  # in a request's scope: the word for why it was refused
ELSEWHERE = "none"  # the route of a path that has none


class Measured:
    """An ASGI middleware around the hub's interface."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # the server answers 500
            status = 500
            self._hub.log.error("request.failed", route=_route(scope), **error_fields(error))
            raise
        finally:
            self._measure(scope, time.perf_counter() - began, status)

    def _measure(self, scope: Scope, seconds: float, status: int) -> None:
        route = _route(scope)
        self._hub.metrics.observe("sojourn_hub_request_seconds", seconds, route)
        if status >= 400:
            self._hub.metrics.count("sojourn_hub_requests_refused_total", str(status))
            self._hub.log.info("request.refused", route=route, status=status, reason=scope.get(REASON, ""))


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", ELSEWHERE))

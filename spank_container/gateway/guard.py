"""Around the application: no request is larger than it may be, and every answer is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from spank_container.gateway.metrics import Metrics

LARGEST_BODY = 64 << 10
_PROBLEM = json.dumps({"error": f"a request has {LARGEST_BODY} bytes at most", "hint": ""}).encode()


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(message["status"])
            await send(message)

        body = await _body(receive)
        if body is None:
            await _too_large(counted)
        else:
            await self._app(scope, _again(body, receive), counted)


async def _body(receive: Receive) -> bytes | None:
    """All of it, before anybody acts on a part; None when it is too large."""
    body, more = b"", True
    while more and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return None if len(body) > LARGEST_BODY else body


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def first_the_body() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first_the_body


async def _too_large(send: Send) -> None:
    # What was not read of the body would be taken for the next request.
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _PROBLEM})

"""Around the application: no request is larger than it may be, and every answer is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from spank_container.gateway.metrics import Metrics

LARGEST_BODY = 64 << 10
_PROBLEM = json.dumps({"error": f"a request has {LARGEST_BODY} bytes at most", "hint": ""}).encode()


class _TooLargeError(Exception):
    pass


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken, answering = 0, False

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY:
                raise _TooLargeError
            return message

        async def counted(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                self._metrics.answered(message["status"])
            await send(message)

        try:
            await self._app(scope, limited, counted)
        except _TooLargeError:
            if not answering:
                await _too_large(counted)


async def _too_large(send: Send) -> None:
    # What was not read of the body would be taken for the next request.
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _PROBLEM})

"""uvicorn, as the gateway needs it: it may be asked by strangers, and it ends when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from spank_container.gateway.api import build_app
from spank_container.gateway.auth import PeerProtocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from types import FrameType

    from spank_container.gateway.service import Service

_MOST_AT_ONCE = 512
_LONGEST_HEAD = 128 << 10  # a credential with a token in it is longer than most


class _Server(uvicorn.Server):
    """uvicorn's own raises the signal again at its end, and dies of it before anything is put away."""

    def __init__(self, settings: uvicorn.Config, service: Service) -> None:
        super().__init__(settings)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's
        self._service.board.close()
        self.should_exit = True


def answer(service: Service, sockets: Sequence[socket.socket]) -> None:
    """Until SIGTERM or SIGINT."""
    settings = uvicorn.Config(
        build_app(service),
        http=PeerProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # X-Forwarded-For would be somebody's word for who he is
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    _Server(settings, service).run(list(sockets))

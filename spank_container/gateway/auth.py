"""Who sent a request: the kernel says it of a Unix socket's peer, munged of everybody else. Nobody else is answered.

`PeerProtocol` puts the peer's uid and gid where ASGI has the client's address; no address of TCP's looks like that.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fastapi import Request  # noqa: TC002  # FastAPI reads the annotation
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from uvicorn.protocols.http.h11_impl import H11Protocol

from spank_container.errors import UserError
from spank_container.gateway import credential
from spank_container.gateway.credential import Bound, Sender
from spank_container.gateway.people import Caller, caller_of
from spank_container.gateway.problems import NobodyError
from spank_container.gateway.wire import LOGIN_HEADER
from spank_container.images.logins import Login

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Mapping

    from spank_container.site_config import GatewayConfig

_PEER = "unix-peer"
_MOST_CONNECTIONS = 64  # of one user on this machine
_UCRED = struct.Struct("3i")


class PeerProtocol(H11Protocol):
    """HTTP that knows who is at the other end of a Unix socket: SO_PEERCRED, as of connect(2).

    Nobody may keep all others out by holding connections.
    """

    held: ClassVar[Counter[int]] = Counter()
    _peer: int | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        end = transport.get_extra_info("socket")
        if end.family == socket.AF_UNIX:
            _, uid, gid = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            self.client = (f"{_PEER}:{gid}", uid)
            self._peer = uid
            self.held[uid] += 1
            if self.held[uid] > _MOST_CONNECTIONS:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self.held[self._peer] -= 1
        super().connection_lost(exc)


class _Secret(BaseModel):
    """A login at a registry, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    user: str = Field(min_length=1, max_length=1024, pattern=r"^[^:\x00-\x1f]+$")
    password: str = Field(max_length=16384)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and his login at a registry, if he sent one."""

    caller: Caller
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Authenticator:
    """By the site's configuration; `uid` is our own."""

    config: GatewayConfig
    uid: int

    async def asked(self, request: Request) -> Asked:
        """NobodyError for whoever does not prove who he is."""
        host, number = request.client or ("", 0)
        kind, _, gid = host.partition(":")
        if kind == _PEER:
            return await run_in_threadpool(self._peer, number, int(gid), request.headers.get(LOGIN_HEADER, ""))
        if LOGIN_HEADER in request.headers:
            raise UserError("a login was sent in the clear, and is not used", hint="send it inside the credential")
        bound = Bound(request.method, _raw_target(request), await request.body())
        return await run_in_threadpool(self._sender, request.headers.get("Authorization", ""), bound)

    def _peer(self, uid: int, gid: int, header: str) -> Asked:
        return Asked(caller_of(uid, gid, self.config), _login(_decoded(header)) if header else None)

    def _sender(self, header: str, bound: Bound) -> Asked:
        scheme, _, sent = header.partition(" ")
        if scheme.upper() != credential.SCHEME or not sent:
            raise NobodyError("this needs a MUNGE credential", hint="use spank-container, or the gateway's Unix socket")
        try:
            sender: Sender = credential.decode(sent, bound, self.uid, self.config.munge_socket)
        except UserError as error:
            raise NobodyError(error.message, error.hint) from error
        login = _login(sender.secret) if sender.secret is not None else None
        return Asked(caller_of(sender.uid, sender.gid, self.config), login)


def authenticator(config: GatewayConfig) -> Authenticator:
    """For the account that this process runs as."""
    return Authenticator(config, os.geteuid())


def _raw_target(request: Request) -> str:
    """As it was sent: a path that was decoded and encoded again may look different."""
    raw, query = request.scope["raw_path"], request.scope["query_string"]
    return str((raw + (b"?" + query if query else b"")).decode("ascii", "replace"))


def _decoded(header: str) -> Mapping[str, str]:
    try:
        found = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise UserError("the login that was sent cannot be read") from error
    return found if isinstance(found, dict) else {}


def _login(secret: Mapping[str, str]) -> Login:
    try:
        checked = _Secret.model_validate(dict(secret))
    except ValidationError:  # not as the cause: a traceback of it shows what was sent
        raise UserError("the login that was sent is no name and password") from None
    return Login(checked.user, checked.password)

"""HTTP to the gateway from a client: over its Unix socket, or over TCP with a MUNGE credential. Knows no routes.

A login is never in the body: over the socket it is in a header, which stays on this machine; over TCP inside the
credential, which is encrypted.
"""

from __future__ import annotations

import base64
import json
import socket
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SiteError
from spank_container.gateway import credential

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spank_container.images.logins import Login
    from spank_container.values.address import Address

LOGIN_HEADER = "Registry-Login"
_LARGEST_ANSWER = 64 << 20


@dataclass(frozen=True, slots=True)
class Realm:
    """How credentials are made: for which account, and by which munged (empty: the machine's)."""

    account: str
    munge: str = ""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def send(
    addresses: Sequence[Address],
    realm: Realm,
    bound: credential.Bound,
    login: Login | None = None,
    timeout: float = 60,
) -> tuple[int, bytes]:
    """Send one request to the first address that takes a connection; the status and the body of the answer.

    Raises BusyError when none does, or when the answer is cut off.
    """
    complaints = []
    for address in addresses:
        with closing(_connection(address, timeout)) as connection:
            try:
                connection.connect()
            except OSError as error:
                complaints.append(f"{address}: {error.strerror or error}")
                continue
            return _exchanged(connection, address, bound, _headers(address, realm, bound, login))
    raise BusyError(
        f"the image gateway does not answer ({'; '.join(complaints)})",
        hint="try again later; images that are in the store can be used meanwhile",
    )


def _connection(address: Address, timeout: float) -> HTTPConnection:
    return (
        _UnixConnection(address.path, timeout)
        if address.path
        else HTTPConnection(address.host, address.port, timeout=timeout)
    )


def _exchanged(
    connection: HTTPConnection, address: Address, bound: credential.Bound, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    try:
        connection.request(bound.method, bound.target, bound.body or None, dict(headers))
        answer = connection.getresponse()
        data = answer.read(_LARGEST_ANSWER + 1)
    except (OSError, HTTPException) as error:
        raise BusyError(
            f"the image gateway at {address} broke off: {error or 'no answer'}", hint="try again"
        ) from error
    if len(data) > _LARGEST_ANSWER:
        raise SiteError(f"the image gateway at {address} answers without end")
    return answer.status, data


def _headers(address: Address, realm: Realm, bound: credential.Bound, login: Login | None) -> dict[str, str]:
    headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if bound.body else {})
    secret = {"user": login.user, "password": login.password} if login else None
    if address.path:
        return headers | ({LOGIN_HEADER: base64.b64encode(json.dumps(secret).encode()).decode()} if secret else {})
    made = credential.encode(bound, realm.account, secret, realm.munge)
    return headers | {"Authorization": f"{credential.SCHEME} {made}"}

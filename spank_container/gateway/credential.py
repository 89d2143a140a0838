"""MUNGE credentials that are good for one request only: made by clients, taken apart by the gateway.

The credential is encrypted for the gateway's account and holds what it was made for: method, target and a hash of the
body, so that one that is stolen on the network opens nothing else; munged refuses it the second time, and after a
minute. A login at a registry travels inside. `munge` and `unmunge` do it, by pipes: linking libmunge would tie us to
its ABI, and spares five milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spank_container.errors import BusyError, SiteError, UserError
from spank_container.run import ProgramFailedError, run

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "MUNGE"
_PURPOSE = "spank-container gateway 1"
_LIFE = 60  # seconds; clocks in a cluster differ less, or nothing of Slurm's works either
# unmunge's exit status is munge_err_t of munge.h.
_SOCKET, _EXPIRED, _REWOUND, _REPLAYED, _FOREIGN = 6, 15, 16, 17, 18
_REFUSALS = {
    _EXPIRED: "the credential has expired",
    _REWOUND: "the credential is from the future",
    _REPLAYED: "the credential was used before",
    _FOREIGN: "the credential is for somebody else",
}
_CLOCKS = "are the clocks of this machine and of the gateway's right?"
_NUMBER = re.compile(r"^(\w+):\s+(\d{1,10})$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bound:
    """The request that a credential is for."""

    method: str
    target: str
    body: bytes

    def members(self) -> dict[str, Any]:
        return {
            "purpose": _PURPOSE,
            "method": self.method,
            "target": self.target,
            "sha256": hashlib.sha256(self.body).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Sender:
    """Who made a credential, and the secret that he put in."""

    uid: int
    gid: int
    secret: Mapping[str, str] | None = field(default=None, repr=False)


def encode(bound: Bound, account: str, secret: Mapping[str, str] | None = None, socket: str = "") -> str:
    """A credential of the caller's for `bound`, which only `account` can decode."""
    payload = json.dumps(bound.members() | ({"secret": dict(secret)} if secret else {})).encode()
    argv = ["munge", f"--restrict-uid={account}", f"--ttl={_LIFE}", *_at(socket)]
    try:
        return run(argv, stdin=payload, timeout=20).stdout.decode("ascii").strip()
    except ProgramFailedError as error:
        raise _no_munge(error) from error


def decode(credential: str, bound: Bound, uid: int, socket: str = "") -> Sender:
    """Who sent `bound`; `uid` is our own. Raises UserError for a credential that is not good for it."""
    argv = ["unmunge", "--numeric", "--keys=UID,GID,UID_RESTRICTION", *_at(socket)]
    try:
        said = run(argv, stdin=credential.encode(), timeout=20).stdout.decode("utf-8", "replace")
    except ProgramFailedError as error:
        if error.status == _SOCKET:
            raise _no_munge(error) from error
        why = _REFUSALS.get(error.status, "the credential is not valid")
        raise UserError(why, hint=_CLOCKS if error.status in {_EXPIRED, _REWOUND} else "") from error
    metadata, _, payload = said.partition("\n\n")
    return _checked(_numbers(metadata), _document(payload), bound, uid)


def _checked(numbers: Mapping[str, int], document: dict[str, Any], bound: Bound, uid: int) -> Sender:
    # A credential that anybody can decode was not made by our client, and a login in it would be anybody's.
    if numbers.get("UID_RESTRICTION") != uid:
        raise UserError("the credential is not for the gateway alone", hint="is [gateway] account the same everywhere?")
    secret = document.pop("secret", None)
    if document != bound.members():
        raise UserError("the credential is for another request")
    if secret is not None and not _is_secret(secret):
        raise UserError("the credential holds what is no login")
    return Sender(numbers["UID"], numbers["GID"], secret)


def _is_secret(secret: object) -> bool:
    return isinstance(secret, dict) and all(isinstance(value, str) for value in secret.values())


def _numbers(metadata: str) -> dict[str, int]:
    return {name: int(number) for name, number in _NUMBER.findall(metadata)}


def _document(payload: str) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError("the credential is for another program")
    return found


def _at(socket: str) -> list[str]:
    return [f"--socket={socket}"] if socket else []


def _no_munge(error: ProgramFailedError) -> SiteError | BusyError:
    if error.status == _SOCKET:
        return BusyError("munged does not answer on this machine", hint="is the munge service running?")
    return SiteError(f"MUNGE does not work: {error.stderr}", hint="is [gateway] account an account of this machine?")

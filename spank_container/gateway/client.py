"""How everybody else speaks with the gateway: `Gateway.connect`, and a method for each of its routes.

Over its Unix socket, where the kernel says who we are, or over TCP, where MUNGE does. The standard library only, since
login nodes have no more; importing this is cheap. Every error says who must act, as in errors.py.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from spank_container.errors import BusyError, SiteError, SpankContainerError, UserError
from spank_container.gateway import answers
from spank_container.gateway.answers import Image, Pull, Use
from spank_container.gateway.credential import Bound
from spank_container.gateway.wire import Realm, send
from spank_container.values.address import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spank_container.images.logins import Login
    from spank_container.site_config import GatewayConfig

    Show = Callable[[Pull], None]

_WAIT = 20  # seconds for which the gateway may hold a question about a pull
_ERRORS: dict[str, type[SpankContainerError]] = {"user": UserError, "login": UserError, "site": SiteError}


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway at the first of `addresses` that answers."""

    addresses: tuple[Address, ...]
    realm: Realm
    timeout: float = 60

    @classmethod
    def configured(cls, config: GatewayConfig) -> Gateway | None:
        """None where the site has none: whoever may write the store then pulls by himself."""
        addresses = tuple(parse_address(text) for text in config.addresses)
        return cls(addresses, Realm(config.account, config.munge_socket)) if addresses else None

    def pull(
        self, reference: str, *, users: Sequence[str] = (), groups: Sequence[str] = (), login: Login | None = None
    ) -> Pull:
        """Ask for an image and return at once; `users` and `groups`, names or numbers, may use it if it is private.

        `login` is for its registry, and used only if that gives the image to nobody without one.
        """
        body = {"reference": reference, "users": list(users), "groups": list(groups)}
        return self._answer(Pull, self._ask("POST", "/v1/pulls", body, login))

    def follow(self, pull: Pull, show: Show | None = None, until: Callable[[Pull], bool] = lambda _: False) -> Pull:
        """Wait for the end of a pull, or for what `until` waits for, and `show` each change. A failure is returned.

        `raise_failure` makes an exception of it. A gateway that is restarted meanwhile is waited for.
        """
        while not (pull.over or until(pull)):
            if show:
                show(pull)
            pull = self._patiently(f"/v1/pulls/{pull.id}?seen={pull.version}&wait={_WAIT}")
        if show:
            show(pull)
        return pull

    def pulled(
        self,
        reference: str,
        show: Show | None = None,
        *,
        users: Sequence[str] = (),
        groups: Sequence[str] = (),
        login: Login | None = None,
    ) -> Pull:
        """Pull and wait; raises what made it fail. Asks once more if the gateway was restarted and lost the login."""
        pull = self.follow(self.pull(reference, users=users, groups=groups, login=login), show)
        if pull.who == "login":
            pull = self.follow(self.pull(reference, users=users, groups=groups, login=login), show)
        raise_failure(pull)
        return pull

    def pulls(self) -> tuple[Pull, ...]:
        """The caller's, or everybody's for an admin; those that failed stay for a while."""
        return self._list(Pull, "/v1/pulls")

    def cancel(self, number: int) -> None:
        """Give a pull up by its id; one that has begun goes on for others who asked."""
        self._ask("DELETE", f"/v1/pulls/{number}")

    def images(self) -> tuple[Image, ...]:
        """Those that the caller may use, the newest first."""
        return self._list(Image, "/v1/images")

    def lookup(self, reference: str) -> Image:
        """UserError when there is no such image for the caller."""
        return self._answer(Image, self._ask("GET", f"/v1/lookup?{urlencode({'reference': reference})}"))

    def used(self, digest: str, reference: str) -> None:
        """A job is submitted with the image: it counts, and does not expire."""
        self._ask("POST", f"/v1/images/{quote(digest)}/uses", {"reference": reference})

    def share(self, digest: str, *, users: Sequence[str] = (), groups: Sequence[str] = ()) -> Image:
        """Let these and no others into a private image of the caller's."""
        body = {"users": list(users), "groups": list(groups)}
        return self._answer(Image, self._ask("PUT", f"/v1/images/{quote(digest)}/access", body))

    def remove(self, digest: str) -> None:
        """No new job gets it; the file goes when the jobs of now are over."""
        self._ask("DELETE", f"/v1/images/{quote(digest)}")

    def expire(self) -> tuple[Image, ...]:
        """For admins: remove what was not used for too long, now; returns what was removed."""
        found = self._ask("POST", "/v1/expire")
        return tuple(self._answer(Image, one) for one in found)

    def usage(self) -> tuple[Use, ...]:
        """The caller's, or everybody's for an admin."""
        return self._list(Use, "/v1/usage")

    def status(self) -> Mapping[str, Any]:
        """What /healthz says."""
        found: Mapping[str, Any] = self._ask("GET", "/healthz")
        return found

    def _patiently(self, path: str) -> Pull:
        """A restart takes seconds: keep asking for a minute."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return self._answer(Pull, self._ask("GET", path))
            except BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _list(self, kind: type[answers._A], path: str) -> tuple[answers._A, ...]:
        return tuple(self._answer(kind, one) for one in self._ask("GET", path))

    def _answer(self, kind: type[answers._A], document: Any) -> answers._A:  # noqa: ANN401  # JSON
        try:
            return answers.read(kind, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _not_a_gateway() from error

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, login: Login | None = None) -> Any:  # noqa: ANN401  # JSON
        data = b"" if body is None else json.dumps(body).encode()
        status, answer = send(self.addresses, self.realm, Bound(method, path, data), login, self.timeout)
        try:
            document = json.loads(answer) if answer else None
        except ValueError as error:
            raise (_overloaded() if status == 503 else _not_a_gateway()) from error
        if status < 300:
            return document
        raise _error(status, document)


def raise_failure(pull: Pull) -> None:
    """A failed pull as the exception that it was in the gateway."""
    if pull.state == "failed":
        raise _ERRORS.get(pull.who, BusyError)(pull.reason, pull.hint)


def _error(status: int, document: object) -> SpankContainerError:
    if not isinstance(document, dict) or not isinstance(document.get("error"), str):
        return _not_a_gateway()
    message, hint = document["error"], str(document.get("hint", ""))
    kind = BusyError if status in {429, 503} else SiteError if status in {401, 500} else UserError
    return kind(message, hint)


def _overloaded() -> BusyError:
    return BusyError("the image gateway has too much to do", hint="try again later")


def _not_a_gateway() -> SiteError:
    return SiteError(
        "what answers at the image gateway's address is no image gateway", hint="see [gateway] in the configuration"
    )

"""Refusals that have an HTTP status of their own; every other error's is decided by who must act."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SpankContainerError, UserError

if TYPE_CHECKING:
    from spank_container.values.image_ref import ImageRef


class NotHereError(UserError):
    """There is none, as far as the caller may know."""


class NotAllowedError(UserError):
    """There is one, and the caller may know of it, but not do this to it."""


class NobodyError(UserError):
    """The caller did not say who he is, or not so that we could believe it."""


class TooManyError(BusyError):
    """The caller has asked for too much at once."""


def status_of(error: SpankContainerError) -> HTTPStatus:
    """How HTTP says it."""
    statuses: dict[type[SpankContainerError], HTTPStatus] = {
        NotHereError: HTTPStatus.NOT_FOUND,
        NotAllowedError: HTTPStatus.FORBIDDEN,
        NobodyError: HTTPStatus.UNAUTHORIZED,
        TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
        BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
        UserError: HTTPStatus.BAD_REQUEST,
    }
    return next(
        (status for kind, status in statuses.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )


def no_such_image(reference: ImageRef) -> NotHereError:
    """For an absent image, and in the same words for one that the caller may not know of."""
    return NotHereError(f"the image {reference} is not in the store", hint=f"spank-container pull {reference}")

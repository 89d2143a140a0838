"""A node waits for an image that is being pulled: it looks into the store, and asks nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, UserError
from spank_container.images.removal import failure

if TYPE_CHECKING:
    from collections.abc import Collection

    from spank_container.images.store import Store
    from spank_container.values.image_ref import Digest, PinnedImage

_LOOK = 0.25


def await_image(store: Store, image: PinnedImage, seconds: float, uid: int, gids: Collection[int]) -> None:
    """Return when the image is there for `uid`: one that is others' may become his while he waits.

    Raises UserError with the reason when its pull has failed, and BusyError when it takes more than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not _is_there(store, image.digest, uid, gids):
        for place in (store, store.private):
            if reason := failure(place, image.digest, uid):
                raise UserError(reason, hint="submit again when that is mended")
        if time.monotonic() >= deadline:
            raise BusyError(
                f"the image {image.reference} did not come within {seconds:g} s",
                hint="it may still be pulled: see spank-container images, and submit again",
            )
        time.sleep(_LOOK)


def _is_there(store: Store, digest: Digest, uid: int, gids: Collection[int]) -> bool:
    if store.has(digest):
        return True
    access = store.private.meta(digest).access if store.private.has(digest) else None
    return access is not None and access.allows(uid, gids)

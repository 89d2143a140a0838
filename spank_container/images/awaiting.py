"""A node waits for an image that is being pulled: it looks into the store, and asks nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, UserError
from spank_container.images.removal import failure

if TYPE_CHECKING:
    from spank_container.images.store import Store
    from spank_container.values.image_ref import PinnedImage

_LOOK = 0.25


def await_image(store: Store, image: PinnedImage, seconds: float) -> None:
    """Return when the image is there, for everybody or for some.

    Raises UserError with the reason when its pull has failed, and BusyError when it takes more than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (store.has(image.digest) or store.private.has(image.digest)):
        for place in (store, store.private):
            if reason := failure(place, image.digest):
                raise UserError(reason, hint="submit again when that is mended")
        if time.monotonic() >= deadline:
            raise BusyError(
                f"the image {image.reference} did not come within {seconds:g} s",
                hint="it may still be pulled: see spank-container images, and submit again",
            )
        time.sleep(_LOOK)

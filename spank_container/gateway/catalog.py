"""Images as one caller may see and change them. Who may do what is decided here, and nowhere else in the gateway.

A private image is its pullers' and of those whom they let in; an admin sees all. For everybody else it does not exist.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.gateway.answers import Image
from spank_container.gateway.people import gids_of, uids_of
from spank_container.gateway.problems import NotAllowedError, no_such_image
from spank_container.images import removal
from spank_container.values.image_ref import ImageId, parse_digest, parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spank_container.gateway.ledger import Ledger
    from spank_container.gateway.people import Caller
    from spank_container.images.store import Store, StoredImage
    from spank_container.values.image_ref import Digest


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The store and what the ledger knows of it."""

    store: Store
    ledger: Ledger

    def images(self, caller: Caller) -> tuple[Image, ...]:
        """Those that the caller may use, the newest first."""
        totals = self.ledger.totals()
        found = [_image(one, totals) for one in self._visible(caller)]
        return tuple(sorted(found, key=lambda image: (-image.created, image.digest)))

    def lookup(self, caller: Caller, text: str) -> Image:
        """What a reference means now. NotHereError when it means nothing to the caller."""
        reference = parse_image_ref(text)
        # What needs a login now may have been everybody's under this name before: the private one is the newer.
        for part in (self.store.private, self.store):
            digest = part.pointed(reference)
            if digest and (image := self._seen(caller, digest)):
                return image
        raise no_such_image(reference)

    def image(self, caller: Caller, digest: Digest) -> Image:
        """Likewise, by its digest."""
        found = self._seen(caller, digest)
        if found is None:
            raise no_such_image(ImageId(digest))
        return found

    def used(self, caller: Caller, digest: Digest, reference: str) -> None:
        """A job of the caller's asks for the image."""
        image = self.image(caller, digest)
        if reference:
            reference = str(parse_image_ref(reference))
        self.ledger.use(image.digest, reference, caller.uid)

    def share(self, caller: Caller, digest: Digest, users: Sequence[str], groups: Sequence[str]) -> Image:
        """Let these and no others in, as far as it is the caller who lets them in."""
        image = self.image(caller, digest)
        if not image.private:
            raise UserError(f"the image id:{digest} is everybody's", hint="its registry gives it without a login")
        access = self.store.private.meta(digest).access
        if access:
            self.ledger.adopt(digest, access)
        if caller.uid not in self.ledger.pullers(digest) and not caller.is_admin:
            raise NotAllowedError(
                "only those who could pull a private image themselves let others in",
                hint="pull it with a login of your own, or ask its owner",
            )
        self.ledger.grant(digest, caller.uid, uids_of(users), gids_of(groups))
        access = self.ledger.access(digest)
        if access:
            removal.let_in(self.store, digest, access)
        return self.image(caller, digest)

    def remove(self, caller: Caller, digest: Digest) -> None:
        """No new job gets the image. Its file is `Upkeep`'s to delete."""
        image = self.image(caller, digest)
        if not caller.is_admin and not self._is_his(caller, image):
            raise NotAllowedError(
                f"the image id:{digest} is not yours alone to remove", hint="ask an administrator of the image gateway"
            )
        self.drop(image)
        _LOG.info("uid %d removed %s", caller.uid, digest)

    def drop(self, image: Image) -> None:
        """The grants go first: were it the other way round, a crash would leave them for whoever pulls it next."""
        digest = parse_digest(image.digest)
        part = self.store.private if image.private else self.store
        self.ledger.disown(digest)
        for name in image.names:
            reference = parse_image_ref(name)
            if not isinstance(reference, ImageId) and part.pointed(reference) == digest:
                part.untag(reference)
        removal.remove(part, digest)

    def _is_his(self, caller: Caller, image: Image) -> bool:
        """A private image is its owner's; a public one his who alone has pulled and used it."""
        if image.private:
            return caller.uid == image.owner
        return self.ledger.pullers(image.digest) == (caller.uid,) and self.ledger.users_of(image.digest) <= {caller.uid}

    def _seen(self, caller: Caller, digest: Digest) -> Image | None:
        for part in (self.store, self.store.private):
            stored = part.find(digest)
            if stored:
                return _image(stored, self.ledger.totals()) if _may(caller, stored) else None
        return None

    def _visible(self, caller: Caller) -> Iterator[StoredImage]:
        public = self.store.list()
        yield from public
        here = {one.meta.digest for one in public}
        for one in self.store.private.list():
            if one.meta.digest not in here and _may(caller, one):
                yield one


def _may(caller: Caller, stored: StoredImage) -> bool:
    access = stored.meta.access
    return access is None or caller.is_admin or access.allows(caller.uid, caller.gids)


def _image(stored: StoredImage, totals: dict[str, tuple[int, float]]) -> Image:
    meta, access = stored.meta, stored.meta.access
    uses, used = totals.get(meta.digest, (0, 0.0))
    image = Image(
        meta.digest, stored.names, meta.architecture, meta.size, stored.created, access is not None, used, uses
    )
    if access is None:
        return image
    return replace(image, owner=access.owner, users=access.users, groups=access.groups)

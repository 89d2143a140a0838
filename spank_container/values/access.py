"""Who may use an image: everybody, or an owner and the users and groups that were let in. By number, as the kernel does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection

    from spank_container.values.image_ref import Digest


@dataclass(frozen=True, slots=True)
class Access:
    """Of a private image. An image without one is public: its registry gave it without a login."""

    owner: int
    users: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()

    def allows(self, uid: int, gids: Collection[int]) -> bool:
        """Whether a process of `uid` with these groups may use the image; root is no exception."""
        return uid == self.owner or uid in self.users or any(gid in self.groups for gid in gids)


def unknown_image(digest: Digest) -> UserError:
    """For an absent image, and in the same words for one that the user may not know of."""
    return UserError(f"the image id:{digest} is not in the store", hint="see: spank-container images")

"""What is known of an image in the store, found while it was converted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spank_container.values.access import Access
    from spank_container.values.image_ref import Digest


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """`environment` as NAME=VALUE; `passwd` and `group` are the image's own /etc/passwd and /etc/group, where these
    are regular files of at most 64 KiB, else empty; without an `access` everybody may use it."""

    digest: Digest
    architecture: str
    size: int
    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    passwd: str = ""
    group: str = ""
    access: Access | None = None

"""What the site allows: checked at submit, for the user's sake, and again on the node, for the site's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.values.size import format_size, parse_size

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig
    from spank_container.values.volume import ScratchSpec


def check_policy(request: JobRequest, uid: int, config: SiteConfig) -> None:
    """Raises UserError for the first thing in `request` that the site does not allow to the user `uid`."""
    if uid == 0 and not config.container.allow_root:
        raise UserError("root's jobs get no container on this cluster", hint="submit as an ordinary user")
    for volume in request.volumes:
        if volume.scratch:
            _check_scratch(volume.scratch, config)


def _check_scratch(scratch: ScratchSpec, config: SiteConfig) -> None:
    limit = config.scratch.max_size
    if limit and scratch.size > parse_size(limit):
        raise UserError(
            f"--volume: a perNodeCache of {format_size(scratch.size)} is larger than this cluster allows",
            hint=f"ask for {limit} at most",
        )
    if scratch.filesystem not in config.scratch.filesystems:
        raise UserError(
            f"--volume: fs={scratch.filesystem} is not allowed on this cluster",
            hint=f"use fs={config.scratch.filesystems[0]}"
            if config.scratch.filesystems
            else "this cluster gives no perNodeCache",
        )

"""What every container has of the host because the site says so: volumes.mounts of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.plan.ops import Bind
from spank_container.values.site_mount import parse_site_mount
from spank_container.values.volume import is_below

if TYPE_CHECKING:
    from collections.abc import Collection

    from spank_container.plan.ops import MountOp
    from spank_container.site_config import SiteConfig


def site_mounts(config: SiteConfig, users_targets: Collection[str]) -> list[MountOp]:
    """Opened as root, since the site names them. What lies on a volume of the user's is left out: the user means what
    the volume has there."""
    mounts = [parse_site_mount(text) for text in config.volumes.mounts]
    return [
        Bind(
            mount.source,
            mount.target,
            read_only=mount.read_only,
            optional=mount.optional,
            why=f"[volumes] mounts[{index}]",
        )
        for index, mount in enumerate(mounts)
        if not any(is_below(mount.target, target) for target in users_targets)
    ]

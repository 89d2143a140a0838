"""What this site's configuration counts on here: its mounts, the node's copies of images, the gateway."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.doctor.findings import Finding, failure, ok, warning
from spank_container.errors import SpankContainerError
from spank_container.gateway.client import Gateway
from spank_container.values.site_mount import parse_site_mount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.site_config import GatewayConfig, SiteConfig


def check_site(config: SiteConfig) -> Iterator[Finding]:
    yield from _check_mounts(config.volumes.mounts)
    if config.images.node_cache:
        yield judge_copies(Path(config.images.node_cache))
    if config.gateway.addresses:
        yield _check_gateway(config.gateway)


def _check_mounts(mounts: tuple[str, ...]) -> Iterator[Finding]:
    """A node that lacks what every container has fails its jobs and is drained."""
    for text in mounts:
        mount = parse_site_mount(text)
        what = f"site mount {mount.target}"
        if os.path.exists(mount.source):
            yield ok(what, mount.source)
        elif mount.optional:
            yield ok(what, f"{mount.source} is not here, and need not be")
        else:
            why = f"{mount.source} is not here: a job with an image would drain this node"
            yield failure(what, why, "mount it, or add :optional where only some nodes have it")


def judge_copies(folder: Path) -> Finding:
    """Private images are in it too, and the kernel mounts what is there."""
    what = "copies of images"
    if not folder.exists():
        return ok(what, f"the first job makes the folder [{folder}]")
    status = folder.stat()
    if (status.st_uid, stat.S_IMODE(status.st_mode)) != (0, 0o700):
        why = f"uid {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}, not root's and 0700 [{folder}]"
        return failure(what, why, f"empty it, then: chown root {folder}; chmod 0700 {folder}")
    return ok(what, f"root's, 0700 [{folder}]")


def _check_gateway(config: GatewayConfig) -> Finding:
    what = "image gateway"
    gateway = Gateway.configured(config)
    try:
        status = gateway.status() if gateway else {}
    except SpankContainerError as error:
        return warning(what, f"{error}; jobs whose image is in the store start all the same", error.hint)
    return ok(what, f"version {status.get('version', '?')} answers [{', '.join(config.addresses)}]")

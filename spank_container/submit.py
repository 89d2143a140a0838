"""What happens when a job is submitted, as its user on the login node: refuse what cannot work, pin the image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.executor.container_root import open_readable, unreachable
from spank_container.executor.scratch import check_place
from spank_container.images.store import Store
from spank_container.kernel.mounts import closing
from spank_container.plan.policy import check_policy, check_source, source_rules
from spank_container.request import JobRequest, parse_request, parse_volume_options
from spank_container.values.image_ref import PinnedImage, parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spank_container.site_config import SiteConfig
    from spank_container.values.volume import VolumeSpec


def submit(image: str | None, volumes: Sequence[str], config: SiteConfig, inherited: str | None = None) -> JobRequest:
    """The request that the job will carry. `inherited` is the request of the job that a step belongs to, as JSON.

    Raises UserError for all that can be known to fail: a step that only adds volumes keeps its job's image.
    """
    specs = parse_volume_options(volumes)
    request = JobRequest(_pin(image, config, inherited), specs)
    check_policy(request, os.getuid(), config)
    for volume in specs:
        _check_source(volume, config)
    return request


def _pin(image: str | None, config: SiteConfig, inherited: str | None) -> PinnedImage:
    if image is None:
        if inherited is None:
            raise UserError("--volume needs an image to appear in", hint="add --image=docker:NAME:TAG")
        return parse_request(inherited).image
    store = Store(Path(config.images.store))
    reference = parse_image_ref(image)
    digest = store.resolve(reference)
    store.meta(digest)  # a tag may outlive its image
    return PinnedImage(reference, digest)


def _check_source(volume: VolumeSpec, config: SiteConfig) -> None:
    if volume.scratch:
        if not config.scratch.path:
            check_place(volume.source, volume.scratch.size, overcommit=config.scratch.overcommit)
        return
    try:
        with closing(open_readable(volume.source)) as source:
            real = os.readlink(f"/proc/self/fd/{source}")
    except OSError as error:
        raise unreachable(volume.source, error) from error
    check_source(volume.source, source_rules(config).and_real(os.path.realpath), real)

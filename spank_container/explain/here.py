"""The plan of a job that is submitted now, from here: by the configuration and the facts of this machine, as its user.

It is the node's own way to a plan, less what only a node can do. Nothing is made, mounted or sent.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.facts import gather_facts
from spank_container.images.store import Store
from spank_container.plan.build import Container, build_plan
from spank_container.state import STATE
from spank_container.values.access import Access
from spank_container.values.image_meta import ImageMeta
from spank_container.values.job import Job
from spank_container.values.task import THE_IMAGES
from spank_container.values.volume import host_path

if TYPE_CHECKING:
    from spank_container.plan.ops import MountPlan
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig

_JOB = "JOB"  # there is no number yet
_NOT_SHOWN = "The image is private: its own variables, working directory and entrypoint are not among this."


def plan_here(request: JobRequest, config: SiteConfig, workdir: str) -> tuple[MountPlan, str]:
    """The plan, and what it leaves out. Raises UserError for what the nodes would refuse too."""
    job = Job(0, os.getuid(), os.getgid(), "", os.uname().nodename, host_path(workdir))
    facts = gather_facts(job, config.container.name_service_timeout)
    image, left_out = _image(request, config), ""
    if image is None:
        request, image, left_out = _without_its_own(request), _private(request), _NOT_SHOWN
    container = Container(_JOB, f"{STATE}/jobs/{_JOB}/mnt.ns")
    return build_plan(request, job, facts, image, config, container), left_out


def _image(request: JobRequest, config: SiteConfig) -> ImageMeta | None:
    """None for a private image, which the gateway lets the user have, but whose description only nodes can read."""
    store = Store(Path(config.images.store))
    return store.meta(request.image.digest) if store.has(request.image.digest) else None


def _private(request: JobRequest) -> ImageMeta:
    return ImageMeta(request.image.digest, "", 0, access=Access(os.getuid()))


def _without_its_own(request: JobRequest) -> JobRequest:
    """Less what the image itself would have to say."""
    task = request.task
    workdir = None if task.workdir == THE_IMAGES else task.workdir
    entrypoint = None if task.entrypoint == THE_IMAGES else task.entrypoint
    return replace(request, task=replace(task, workdir=workdir, entrypoint=entrypoint))

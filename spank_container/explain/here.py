"""The plan of a job that is submitted now, from here: by the configuration and the facts of this machine, as its user.

It is the node's own way to a plan, less what only a node can do. Nothing is made, mounted or sent.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.facts import gather_facts
from spank_container.images.store import Store
from spank_container.plan.build import Container, build_plan
from spank_container.state import STATE
from spank_container.values.job import Job
from spank_container.values.volume import host_path

if TYPE_CHECKING:
    from spank_container.plan.ops import MountPlan
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig

_JOB = "JOB"  # there is no number yet


def plan_here(request: JobRequest, config: SiteConfig, workdir: str) -> MountPlan:
    """Raises UserError for what the nodes would refuse too."""
    node = os.uname().nodename
    job = Job(0, os.getuid(), os.getgid(), "", node, host_path(workdir))
    facts = gather_facts(job, config.container.name_service_timeout)
    image = Store(Path(config.images.store)).meta(request.image.digest)
    return build_plan(request, job, facts, image, config, Container(_JOB, f"{STATE}/jobs/{_JOB}/mnt.ns"))

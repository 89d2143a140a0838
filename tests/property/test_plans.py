"""Whatever a user asks for, and whatever an image holds: a plan that is made is sound, or the user is told why not."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hypothesis import given
from strategies import CONFIGS, FACTS, IMAGES, JOBS, REQUESTS

from spank_container.plan.build import Container, build_plan
from spank_container.plan.check import check_plan
from spank_container.plan.ops import AttachScratch, Bind, MakeMountPoint, MakeScratch, MountPlan, MountTmpfs
from spank_container.values.volume import is_protected

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig
    from spank_container.values.host_facts import HostFacts
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.job import Job

CONTAINER = Container("12", "/run/spank-container/jobs/12/mnt.ns")


@given(REQUESTS, JOBS, FACTS, IMAGES, CONFIGS)
def test_any_plan_is_sound(
    request: JobRequest, job: Job, facts: HostFacts, image: ImageMeta, config: SiteConfig
) -> None:
    plan = build_plan(request, job, facts, image, config, CONTAINER)
    check_plan(plan)
    check_order(plan)
    check_users_part(plan, request)
    check_caches(plan, request)
    assert MountPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert all(b"\0" not in record.encode(errors="surrogateescape") for record in plan.environment)


def check_order(plan: MountPlan) -> None:
    """Said again in other words than plan/check.py does."""
    targets = [PurePosixPath(op.target) for op in plan.inside if isinstance(op, Bind | MountTmpfs | AttachScratch)]
    for index, target in enumerate(targets):
        assert str(target).startswith("/")
        assert not str(target).startswith("//")
        assert ".." not in target.parts
        assert target != PurePosixPath("/")
        assert target not in targets[:index]
        assert not any(earlier.is_relative_to(target) for earlier in targets[:index])


def check_users_part(plan: MountPlan, request: JobRequest) -> None:
    """What is opened as the user is what the user asked for or owns, and lies in no place of ours."""
    asked = {volume.target for volume in request.volumes}
    for op in plan.inside:
        if isinstance(op, Bind) and op.owner:
            assert not is_protected(op.target)
            assert not op.devices
            assert op.target in asked or op.source == op.target
        if isinstance(op, AttachScratch) or (isinstance(op, MakeMountPoint) and op.by_user):
            assert op.target in asked
    shown = {op.target for op in plan.inside if isinstance(op, Bind | AttachScratch)}
    assert asked <= shown


def check_caches(plan: MountPlan, request: JobRequest) -> None:
    made = [op.name for op in plan.host if isinstance(op, MakeScratch)]
    attached = [op.name for op in plan.inside if isinstance(op, AttachScratch)]
    assert sorted(made) == sorted(attached)
    assert len(made) == sum(volume.scratch is not None for volume in request.volumes)

"""Whatever a user asks for, and whatever an image holds: a plan that is made is sound, or the user is told why not."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from attempts import attempt
from hypothesis import assume, given
from strategies import CONFIGS, FACTS, IMAGES, JOBS, REQUESTS

from spank_container.errors import UserError
from spank_container.explain.rows import explain
from spank_container.explain.show import plain
from spank_container.plan.build import Container, build_join, build_plan
from spank_container.plan.check import check_plan
from spank_container.plan.ops import (
    AttachScratch,
    AttachTmp,
    Bind,
    JoinNamespace,
    MakeMountPoint,
    MakeScratch,
    MakeTmp,
    MountPlan,
    MountRoot,
    MountTmpfs,
)
from spank_container.values.volume import is_protected

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig
    from spank_container.values.host_facts import HostFacts
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.job import Job

CONTAINER = Container("12", "/run/spank-container/jobs/12/mnt.ns")
STEP_PIN = "/run/spank-container/jobs/12/steps/3/mnt.ns"
MOUNTS = Bind | MountTmpfs | AttachScratch | AttachTmp


@given(REQUESTS, JOBS, FACTS, IMAGES, CONFIGS)
def test_any_plan_is_sound(
    request: JobRequest, job: Job, facts: HostFacts, image: ImageMeta, config: SiteConfig
) -> None:
    plan = attempt(lambda: build_plan(request, job, facts, image, config, CONTAINER), UserError)
    assume(plan)  # a refused one is followed by another, so that most examples are plans
    assert plan
    check_plan(plan)
    check_order(plan)
    check_users_part(plan, request)
    check_writes(plan)
    check_records(plan)
    check_recorded(plan)
    check_words(plan)


@given(REQUESTS, FACTS, IMAGES, CONFIGS)
def test_a_step_that_joins_its_job_mounts_nothing(
    request: JobRequest, facts: HostFacts, image: ImageMeta, config: SiteConfig
) -> None:
    plan = attempt(lambda: build_join(request, facts, image, config, STEP_PIN, CONTAINER.pin), UserError)
    assume(plan)
    assert plan
    assert plan.host == (JoinNamespace(CONTAINER.pin, STEP_PIN),)
    assert plan.inside == ()
    check_records(plan)
    check_recorded(plan)


def check_order(plan: MountPlan) -> None:
    """Said again in other words than plan/check.py does."""
    targets = [PurePosixPath(op.target) for op in plan.inside if isinstance(op, MOUNTS)]
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


def check_writes(plan: MountPlan) -> None:
    """All that is made is attached once, and all that is attached is made; the root is written to where it says."""
    made = [op.name for op in plan.host if isinstance(op, MakeScratch)]
    attached = [op.name for op in plan.inside if isinstance(op, AttachScratch)]
    assert sorted(made) == sorted(attached)
    folders = [op for op in plan.host if isinstance(op, MakeTmp)]
    assert len(folders) == sum(isinstance(op, AttachTmp) for op in plan.inside)
    (root,) = [op for op in plan.inside if isinstance(op, MountRoot)]
    assert not (root.cache and root.size)
    assert root.cache in {"", *made}


def check_records(plan: MountPlan) -> None:
    """Each is one record for the plugin, which ends it at a NUL; each variable has a reason."""
    for record in plan.environment:
        assert record
        assert b"\0" not in record.encode(errors="surrogateescape")
    names = [record.partition("=")[0] for record in plan.environment if record[0] not in "+-@>"]
    assert names == [name for name, why in plan.reasons if why]


def check_recorded(plan: MountPlan) -> None:
    recorded = MountPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert recorded == plan
    assert explain(recorded, "x") == explain(plan, "x")


def check_words(plan: MountPlan) -> None:
    explanation = explain(plan, "docker:debian:trixie")
    assert all(row.why for row in explanation.shown)
    assert all(line.isprintable() for line in plain("About.", explanation))

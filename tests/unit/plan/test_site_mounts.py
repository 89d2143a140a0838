"""What a site's [volumes] does to a plan: its own mounts, and what the user's folders and volumes become."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from builders import account, config, facts, job, plan

from spank_container.plan.ops import Bind, MakeMountPoint
from spank_container.site_config import SiteConfig, VolumesConfig
from spank_container.values.source_rules import SourceRules

if TYPE_CHECKING:
    from spank_container.plan.ops import MountPlan

ALICE = (1001, 1001, 1001, 2000)


def site(*mounts: str, **rules: tuple[str, ...]) -> SiteConfig:
    return replace(config(), volumes=VolumesConfig(mounts=mounts, **rules))


def bound(made: MountPlan) -> dict[str, Bind]:
    return {op.target: op for op in made.inside if isinstance(op, Bind)}


def test_a_mount_of_the_sites() -> None:
    made = plan(under=site("/scratch", "/lustre/sw:/sw:ro", "/fast:optional"))
    assert bound(made)["/scratch"] == Bind("/scratch", "/scratch")
    assert bound(made)["/sw"] == Bind("/lustre/sw", "/sw", read_only=True)
    assert bound(made)["/fast"] == Bind("/fast", "/fast", optional=True)
    assert [bound(made)[target].why for target in ("/scratch", "/sw")] == ["[volumes] mounts[0]", "[volumes] mounts[1]"]


def test_its_place_is_the_containers_own() -> None:
    """A link that the image has there is replaced, and not followed."""
    points = [op for op in plan(under=site("/scratch")).inside if isinstance(op, MakeMountPoint)]
    assert MakeMountPoint("/scratch", directory=None, follow=False, by_user=False) in points


def test_the_site_may_mount_over_what_every_container_has() -> None:
    made = plan(under=site("/local/tmp:/tmp", "/etc/hosts.jobs:/etc/hosts:ro"))
    assert bound(made)["/tmp"] == Bind("/local/tmp", "/tmp")
    assert bound(made)["/etc/hosts"] == Bind("/etc/hosts.jobs", "/etc/hosts", read_only=True)


def test_the_site_means_more_than_where_the_job_was_submitted() -> None:
    made = plan(of=job("/datasets"), under=site("/datasets:ro"))
    assert bound(made)["/datasets"] == Bind("/datasets", "/datasets", read_only=True)


def test_a_volume_means_more_than_the_site() -> None:
    made = plan("/home/alice/x:/scratch", under=site("/scratch", "/projects:/scratch/projects", "/scratch2"))
    assert bound(made)["/scratch"] == Bind("/home/alice/x", "/scratch", ALICE)
    assert "/scratch/projects" not in bound(made)
    assert "/scratch2" in bound(made)


def test_a_cache_means_more_than_the_site() -> None:
    assert "/scratch" not in bound(plan("/s/cache:/scratch:perNodeCache=size=1G", under=site("/scratch")))


def test_a_volume_may_lie_on_a_mount_of_the_sites() -> None:
    targets = list(bound(plan("/home/alice/x:/scratch/x", under=site("/scratch"))))
    assert targets.index("/scratch") < targets.index("/scratch/x")


# What is to be read-only, allowed and denied.


def test_a_volume_of_a_read_only_folder() -> None:
    made = bound(plan("/data/x:/x;/data:/y:ro;/scratch:/z;/:/host", under=site(read_only=("/data/",))))
    assert {target: made[target].read_only for target in ("/x", "/y", "/z", "/host")} == {
        "/x": True,
        "/y": True,
        "/z": False,
        "/host": True,
    }
    assert made["/x"].why == "--volume=/data/x:/x; read-only by [volumes] read_only"
    assert made["/y"].why == "--volume=/data:/y:ro"


@pytest.mark.parametrize(
    ("workdir", "home", "shown"),
    [
        ("/scratch/alice", "/home/alice", {"/scratch/alice", "/home/alice"}),
        ("/projects/x", "/home/alice", {"/home/alice"}),
        ("/home/alice/run", "/home/alice", {"/home/alice"}),
        ("/scratch/secret/x", "/home/alice", {"/home/alice"}),
        ("/scratch/alice", "/scratch/secret/alice", {"/scratch/alice"}),
    ],
)
def test_the_users_own_folders_obey_as_well(workdir: str, home: str, shown: set[str]) -> None:
    """Home need not be allowed; the job's directory must be, since its user chooses it."""
    rules = site(allow=("/scratch",), deny=("/scratch/secret",))
    made = plan(of=job(workdir), on=facts(account(home=home)), under=rules)
    assert {op.target for op in made.inside if isinstance(op, Bind) and op.owner} == shown


def test_the_executor_gets_the_rules() -> None:
    rules = plan(under=site(allow=("/scratch/",), deny=("/x",), read_only=("/data",))).rules
    assert rules == SourceRules(("/scratch",), ("/x",), ("/data",), also=("/home/alice",))
    assert plan().rules.fault("/anywhere") is None

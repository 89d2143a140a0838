"""A step with task options only, by the real prolog(): in its job's own container, with an environment of its own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from kernel.miniature import in_container, isolated

from spank_container.images.removal import remove
from spank_container.images.store import Store

if TYPE_CHECKING:
    from kernel.miniature import Node

    from spank_container.state import ContainerDirectory

pytestmark = pytest.mark.kernel


def asking(environment: dict[str, str], /, **members: object) -> dict[str, str]:
    request = json.loads(environment["SPANK_CONTAINER_REQUEST"]) | members
    return environment | {"SPANK_CONTAINER_REQUEST": json.dumps(request)}


def step(node: Node, environment: dict[str, str], /, **members: object) -> ContainerDirectory:
    """Step 3 of the job, as `spank-container step` builds it."""
    node.prolog(asking(environment, joins=True, **members) | {"SLURM_STEP_ID": "3"})
    return node.state.job(7, 3)


def records(directory: ContainerDirectory) -> list[str]:
    return (directory.path / "env").read_text().split("\0")


@isolated
def test_it_has_the_jobs_namespace_and_its_own_records(node: Node) -> None:
    job = node.prolog(asking(node.environment(), environment=["A=job"]))
    joined = step(node, node.environment(), environment=["A=step"], workdir="/tmp", entrypoint="/bin/sh")
    assert joined.is_ready()
    assert os.path.samestat(joined.pin.stat(), job.pin.stat())
    in_container(job, "echo hello > /tmp/x")
    assert in_container(joined, "cat /tmp/x") == "hello\n"
    assert "A=job" in records(job)
    assert records(joined)[-3:] == ["@/tmp", ">/bin/sh", ""]
    assert "A=step" in records(joined)


@isolated
def test_slurm_s_own_tmp_is_carried_in_as_for_the_job(node: Node) -> None:
    """Not where a volume of the job's is there, whatever the step's request says."""
    job = node.prolog(node.environment(volumes=(f"{node.path}/work:/tmp",)))
    joined = step(node, node.environment())
    status = os.stat("/dev/shm")
    expected = f"-\n{status.st_dev}:{status.st_ino}\n"
    assert [(directory.path / "tmp").read_text() for directory in (job, joined)] == [expected, expected]


@isolated
def test_its_image_is_the_jobs_whatever_it_says(node: Node) -> None:
    node.prolog(node.environment(image="one"))
    joined = step(node, node.environment(image="two"))
    assert f"SHIFTER_IMAGE={node.images['one']}" in records(joined)


@isolated
def test_its_image_may_be_removed_meanwhile(node: Node) -> None:
    node.prolog(node.environment())
    store, digest = Store(node.path / "store"), node.images["one"]
    remove(store, digest)
    joined = step(node, node.environment())
    store.beside(digest, "removed").rename(store.beside(digest, "json"))  # other tests have the same store
    assert joined.is_ready()
    assert f"SHIFTER_IMAGE={node.images['one']}" in records(joined)


@isolated
def test_its_end_is_not_the_jobs(node: Node) -> None:
    environment = node.environment()
    job = node.prolog(environment)
    joined = step(node, environment)
    node.epilog(environment | {"SLURM_STEP_ID": "3"})
    assert not joined.exists()
    assert in_container(job, "cat /etc/name") == "one"
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_the_jobs_end_is_its(node: Node) -> None:
    node.prolog(node.environment())
    step(node, node.environment())
    node.epilog(node.environment())
    node.wait_until_clean()


@isolated
def test_there_is_nothing_to_join(node: Node) -> None:
    joined = step(node, node.environment())
    assert (joined.path / "failed").read_text() == (
        "this job has no container here that a step could join\nhint: give this srun an --image\n"
    )
    node.epilog(node.environment())
    node.wait_until_clean()


@isolated
def test_the_jobs_container_has_failed(node: Node) -> None:
    node.prolog(node.environment(volumes=("/absent:/data",)))
    joined = step(node, node.environment())
    assert (joined.path / "failed").read_text().startswith("this job has no container here")


@isolated
def test_a_job_cannot_join_itself(node: Node) -> None:
    job = node.prolog(asking(node.environment(), joins=True))
    assert (job.path / "failed").read_text().startswith("this job has no container here")
    node.epilog(node.environment())
    node.wait_until_clean()


@isolated
def test_what_the_image_does_not_say_fails_the_step_and_not_the_node(node: Node) -> None:
    node.prolog(node.environment())
    joined = step(node, node.environment(), entrypoint="")
    assert (joined.path / "failed").read_text() == (
        "--image-entrypoint: the image has no entrypoint\nhint: name one: --image-entrypoint=PROGRAM\n"
    )

"""With Slurm's job_container/tmpfs a job has a /tmp and a /dev/shm of its own, and they are the container's too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.background import running
from cluster.output import sections

from sandbox import job_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

IMAGE = "--image=docker:busybox"
STEPS = r"""
echo "== host"; echo script > /tmp/script; echo script > /dev/shm/script; stat -c '%U %a' /tmp
echo "== task"; srun -n1 sh -c 'cat /tmp/script /dev/shm/script; stat -c "%U %a" /tmp; echo task > /tmp/task; echo task > /dev/shm/task'
echo "== host again"; cat /tmp/task /dev/shm/task
echo "== two tasks"; srun -n2 sh -c 'cat /tmp/task; echo $SLURM_PROCID > /tmp/rank-$SLURM_PROCID'; cat /tmp/rank-*
echo "== joined"; srun -n1 --image-env=A=5 sh -c 'echo $A; cat /tmp/task'
echo "== own container"; srun -n1 --volume=/shared/alice:/data sh -c 'cat /tmp/task; ls -d /data'
echo "== on the host"; srun -n1 --image=none cat /tmp/task
echo "== mounts"; srun -n1 grep -E ' (/tmp|/dev/shm) ' /proc/self/mountinfo
echo "== folder"; cd /tmp && srun -n1 sh -c 'pwd; ls'
pause end
"""


@pytest.fixture(scope="module", params=["", "EntireStepInNS=true", "Shared=true"], ids=["plain", "entire", "shared"])
def own_tmp(site: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The same cluster, so configured for as long as these tests run."""
    if request.param and site.release.slurm == "22.05":
        pytest.skip(f"Slurm 22.05 does not know {request.param}")
    job_container.switch_on(site, *filter(None, [request.param]))
    yield site
    job_container.switch_off(site)
    assert_nothing_left(site)


@pytest.fixture(scope="module")
def seen(own_tmp: Cluster) -> dict[str, str]:
    """What the parts of a job print; while it runs, what another user's and the node itself see."""
    with running(own_tmp, STEPS, "--ntasks=2", "--nodelist=n1", "--partition=shared", IMAGE) as job:
        job.reach("end")
        other = ["srun", "--nodelist=n1", "--partition=shared", IMAGE, "ls", "-A", "/tmp", "/dev/shm"]
        bob = own_tmp.run(other, user="bob")
        assert bob.returncode == 0, bob.stderr
        node = own_tmp.members["n1"].sh("ls -A /tmp /dev/shm")
        printed = sections(job.output)
        job.go("end")
        assert job.wait().exit_code == 0
    return {**printed, "bob": bob.stdout, "node": node, "id": str(job.id)}


@pytest.mark.parametrize(
    ("part", "printed"),
    [
        ("task", "script\nscript\nalice 700\n"),
        ("host again", "task\ntask\n"),
        ("two tasks", "task\ntask\n0\n1\n"),
        ("joined", "5\ntask\n"),
        ("own container", "task\n/data\n"),
        ("on the host", "task\n"),
        ("folder", "/tmp\nrank-0\nrank-1\nscript\ntask\n"),
    ],
)
def test_it_is_one_for_all_of_the_job(seen: dict[str, str], part: str, printed: str) -> None:
    assert seen[part] == printed


@pytest.mark.parametrize("who", ["bob", "node"])
def test_it_is_no_others(seen: dict[str, str], who: str) -> None:
    assert "task" not in seen[who].replace("slurmstepd", "")
    assert "script" not in seen[who]


def test_nothing_in_it_has_power(seen: dict[str, str]) -> None:
    """Although Slurm's own mount may allow set-user-ID programs and devices."""
    mounts = [line.split() for line in seen["mounts"].splitlines()]
    assert {mount[4] for mount in mounts} == {"/tmp", "/dev/shm"}
    shown = {
        mount[4]: mount[5].split(",") for mount in mounts if job_container.BASE in mount[3] or mount[-2] == "tmpfs"
    }
    assert all({"nosuid", "nodev"} <= set(flags) for flags in shown.values())


def test_it_is_gone_afterwards(seen: dict[str, str], own_tmp: Cluster) -> None:
    assert seen
    assert_nothing_left(own_tmp)
    node = own_tmp.members["n1"]
    assert node.sh(f"grep '{job_container.BASE}/.*/{seen['id']}' /proc/self/mountinfo || true") == ""
    assert node.sh(f"find {job_container.BASE} -name '*task*'") == ""


def test_a_volume_there_is_not_hidden(own_tmp: Cluster) -> None:
    """Its folder then is the container's, and Slurm's does not come over it."""
    script = "#!/bin/sh\necho host > /tmp/script\nsrun sh -c 'ls /tmp; ls -d /tmp/volume; ls /dev/shm'\n"
    job = own_tmp.sbatch(script, "--nodelist=n1", IMAGE, "--volume=/shared/alice:/tmp/volume")
    assert (job.exit_code, job.output) == (0, "volume\n/tmp/volume\n"), job.output


def test_a_cache_on_tmp_is_not_hidden(own_tmp: Cluster) -> None:
    script = "#!/bin/sh\necho host > /tmp/script\nsrun df -h /tmp\n"
    job = own_tmp.sbatch(script, "--nodelist=n1", IMAGE, "--volume=/shared/alice:/tmp:perNodeCache=size=64M,fs=ext4")
    assert "/dev/loop" in job.output


def test_a_job_without_an_image_has_slurm_s(own_tmp: Cluster) -> None:
    script = "#!/bin/sh\necho host > /tmp/script\nsrun cat /tmp/script\n"
    assert own_tmp.sbatch(script, "--nodelist=n1").output == "host\n"

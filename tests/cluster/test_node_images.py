"""What nodes keep of images: the mount for the next job, a copy on their own disk; and what Slurm hears of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.background import running
from cluster.configuration import configured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
KEEPING = '[images]\nkeep_mounted = 3600\nnode_cache = "/srv/images"\nnode_cache_size = "2G"\nadvertise = true'
SRUN = ["srun", "-n1", "-w", "n1", "--image=docker:busybox"]


@pytest.fixture
def keeping(site: Cluster) -> Iterator[Cluster]:
    """n1 keeps what it has; afterwards it has nothing."""
    node = site.members["n1"]
    with configured([node], lambda text: text.replace("[images]", KEEPING)):
        yield site
        done = site.run([PROGRAM, "sweep", "--idle-images"], user="root", node="n1")
        assert done.returncode == 0, done.stderr
    node.sh("rm -rf /srv/images")
    site.run(["scontrol", "update", "NodeName=n1", "AvailableFeatures=", "ActiveFeatures="], user="root")
    assert_nothing_left(site)


def images(cluster: Cluster) -> list[dict[str, Any]]:
    done = cluster.run([PROGRAM, "node", "images", "--json"], user="root", node="n1")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_an_image_stays_for_the_next_job(keeping: Cluster) -> None:
    assert keeping.run([*SRUN, "cat", "/proc/self/mountinfo"]).returncode == 0
    assert_idle(keeping)
    (image,) = images(keeping)
    assert (image["mounted"], image["jobs"]) == (True, [])
    assert image["copy"] > 0
    assert image["digest"].startswith("sha256:")
    files = keeping.members["n1"].sh("ls -l /srv/images; cat /sys/block/loop*/loop/backing_file 2>/dev/null")
    assert f"/srv/images/{image['digest'].replace(':', '-')}.squashfs" in files
    assert keeping.run([*SRUN, "sh", "-c", "exit"]).returncode == 0


def test_a_running_job_is_listed_with_its_image(keeping: Cluster) -> None:
    with running(keeping, "pause here", "-w", "n1", "--image=docker:busybox") as job:
        job.reach("here")
        done = keeping.run([PROGRAM, "node", "images"], user="root", node="n1")
        job.go("here")
        job.wait()
    digest, mounted, jobs, copy, used = done.stdout.rstrip("\n").split("\t")
    assert digest.startswith("sha256:")
    assert (mounted, jobs) == ("mounted", str(job.id))
    assert "-" not in {copy, used}


def test_slurm_knows_which_node_has_an_image(keeping: Cluster) -> None:
    keeping.run(["scontrol", "update", "NodeName=n1", "AvailableFeatures=rack7", "ActiveFeatures=rack7"], user="root")
    assert keeping.run([*SRUN, "sh", "-c", "exit"]).returncode == 0
    assert_idle(keeping)
    assert keeping.run([PROGRAM, "sweep"], user="root", node="n1").returncode == 0
    feature = f"image_{images(keeping)[0]['digest'].partition(':')[2][:12]}"
    shown = keeping.run(["scontrol", "--oneliner", "show", "node", "n1"]).stdout
    assert f"ActiveFeatures=rack7,spank_container,{feature} " in shown
    where = ["srun", "-n1", f"--constraint={feature}", "--image=docker:busybox"]
    assert keeping.run([*where, "sh", "-c", "echo $SLURMD_NODENAME"]).stdout == "n1\n"
    keeping.run([PROGRAM, "sweep", "--idle-images"], user="root", node="n1")
    keeping.members["n1"].sh("rm -r /srv/images")
    assert keeping.run([PROGRAM, "node", "advertise"], user="root", node="n1").returncode == 0
    shown = keeping.run(["scontrol", "--oneliner", "show", "node", "n1"]).stdout
    assert "ActiveFeatures=rack7,spank_container " in shown


def test_users_may_not_look(keeping: Cluster) -> None:
    done = keeping.run([PROGRAM, "node", "images"], user="alice", node="n1")
    assert (done.returncode, done.stderr) == (
        64,
        "spank-container: only root can see what this node has\nhint: run it as root, or as an operator by sudo\n",
    )

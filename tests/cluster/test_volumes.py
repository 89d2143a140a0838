"""What --volume shows in the container: the user's own rights decide, and the path in the image does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.configuration import configured
from cluster.output import sections

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

FOLDERS = """
mkdir -p /shared/team && chgrp project-alice /shared/team && chmod 770 /shared/team && echo ours > /shared/team/file
ln -sfn /shared/team /shared/link
"""
VOLUMES = [
    "/shared/team:/team",
    "/shared/link:/through/a/link:ro",
    "/home/alice/a file:/a place/for:ro",
    "/home/alice/outer:/outer;/shared/alice:/outer/inner",
    "/shared/alice:/var/run/in/a/link",  # in Debian's image /var/run is a link to /run
    "/shared/alice/one:/tmp:perNodeCache=size=300M",
    "/shared/alice/two:/scratch:perNodeCache=size=16M,fs=ext4,bs=1k",
    # Places that are not there: on a cache, on a folder that is alice's by her group, on the image.
    "/home/alice/outer:/scratch/made/deeply",
    "/home/alice/a file:/team/made/file",
    "/shared/alice:/nowhere/yet",
]
LOOK = r"""
look() { echo "== $1"; shift; "$@" 2>&1; }
look group cat /team/file
look "write as a group" sh -c 'echo mine > /team/mine; stat -c "%U %G" /team/mine'
look link cat /through/a/link/file
look "read-only folder" touch /through/a/link/new
look file cat "/a place/for"
look "read-only file" sh -c 'echo more >> "/a place/for"'
look outer ls /outer
look inner ls -d /outer/inner/here
look "image's link" ls -d /run/in/a/link/here
look caches df --output=fstype,target /tmp /scratch
look "made on a cache" sh -c 'ls /scratch/made/deeply; stat -c "%U %a" /scratch/made'
look "made on a volume" sh -c 'cat /team/made/file; stat -c "%U %a" /team/made'
look "made on the image" ls -d /nowhere/yet/here
look "write to a cache" sh -c 'echo kept > /scratch/file; cat /scratch/file'
"""


@pytest.fixture(scope="module")
def seen(site: Cluster) -> dict[str, str]:
    site.run(FOLDERS, user="root")
    site.run("mkdir -p outer/inner /shared/alice/here && echo content > 'a file'")
    options = [f"--volume={volume}" for volume in VOLUMES]
    done = site.run(["srun", "--image=docker:debian:trixie", *options, "bash", "-c", LOOK])
    return sections(done.stdout)


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        ("group", "ours\n"),  # by a supplementary group
        ("write as a group", "alice alice\n"),
        ("link", "ours\n"),
        ("read-only folder", "touch: cannot touch '/through/a/link/new': Read-only file system\n"),
        ("file", "content\n"),
        ("read-only file", "sh: 1: cannot create /a place/for: Read-only file system\n"),
        ("outer", "inner\n"),
        ("inner", "/outer/inner/here\n"),
        ("image's link", "/run/in/a/link/here\n"),
        ("caches", "Type Mounted on\nxfs  /tmp\next4 /scratch\n"),
        ("made on a cache", "inner\nalice 755\n"),
        ("made on a volume", "content\nalice 755\n"),
        ("made on the image", "/nowhere/yet/here\n"),
        ("write to a cache", "kept\n"),
    ],
)
def test_a_volume(seen: dict[str, str], what: str, printed: str) -> None:
    assert seen[what] == printed


def test_a_volume_that_one_node_lacks(site: Cluster) -> None:
    """Known only on the node: the step fails with the reason, and no node is taken out of service."""
    for node in ("login", "n1"):
        site.members[node].sh("mkdir -p /srv/here")
    options = ["--nodes=2", "--image=docker:busybox", "--volume=/srv/here:/here"]
    done = site.run(["srun", *options, "sh", "-c", "ls -d /here; hostname"])
    assert done.returncode == 1
    assert "n2" not in done.stdout
    assert "error: spank-container: --volume: /srv/here: No such file or directory\n" in done.stderr


def test_a_batch_job_whose_node_lacks_its_volume(site: Cluster) -> None:
    site.members["login"].sh("mkdir -p /srv/there")
    job = site.sbatch("#!/bin/sh\necho it runs", "--image=docker:busybox", "--volume=/srv/there:/there")
    assert (job.state, job.exit_code) == ("FAILED", 1)
    assert "error: spank-container: --volume: /srv/there: No such file or directory\n" in job.output
    assert "it runs" not in job.output


UNMADE = ["--volume=/shared/team:/data:ro", "--volume=/home/alice/outer:/data/absent"]


def test_a_place_that_cannot_be_made(site: Cluster) -> None:
    site.run(FOLDERS, user="root")
    site.run("mkdir -p outer")
    done = site.run(["srun", "--nodelist=n1", "--image=docker:busybox", *UNMADE, "true"])
    assert done.returncode == 1
    assert (
        "error: spank-container: --volume: nothing can be mounted at /data/absent: Read-only file system\n"
        in done.stderr
    )
    assert_idle(site)


CACHES = r"""#!/bin/bash
export TMPDIR=/mnt
echo "== steps"
srun --nodes=1 --ntasks=1 --nodelist=n1 sh -c 'mktemp | cut -c1-9; df --output=fstype,target $TMPDIR | tail -n 1; touch /mnt/one /other/two' 2>&1
echo "== later"; srun --nodes=1 --ntasks=1 --nodelist=n1 sh -c 'ls /mnt/one /other; ls /mnt | grep -c ^tmp' 2>&1
echo "== another node"; srun --nodes=1 --ntasks=1 --nodelist=n2 sh -c 'ls /mnt /other' 2>&1
echo "== tasks"; srun --ntasks=2 --nodes=1 --nodelist=n1 sh -c 'touch /mnt/task$SLURM_PROCID; until [ -e /mnt/task0 -a -e /mnt/task1 ]; do sleep 0.1; done; echo met' 2> /dev/null
echo "== full"; srun --nodes=1 --ntasks=1 --nodelist=n1 sh -c 'dd if=/dev/zero of=/mnt/big bs=1M count=400 2>&1 | grep -o "No space.*"; rm /mnt/big; touch /mnt/more && echo more' 2>&1
echo "== names"; ls -A /shared/alice/caches
"""


def test_caches_are_the_jobs_own_on_each_node(site: Cluster) -> None:
    site.run("mkdir -p /shared/alice/caches")
    first = "--volume=/shared/alice/caches/a:/mnt:perNodeCache=size=300M"
    second = "--volume=/shared/alice/caches/a:/other:perNodeCache=size=16M,fs=ext4"
    job = site.sbatch(CACHES, "--nodes=2", "--image=docker:debian:trixie", first, second)
    assert job.exit_code == 0, job.output
    seen = sections(job.output)
    assert seen["steps"] == "/mnt/tmp.\nxfs  /mnt\n"
    assert seen["later"] == "/mnt/one\n\n/other:\ntwo\n1\n"
    assert seen["another node"] == "/mnt:\n\n/other:\n"
    assert seen["tasks"] == "met\nmet\n"
    assert seen["full"] == "No space left on device\nmore\n"
    assert seen["names"] == ""


def test_a_cache_that_does_not_fit_fails_the_job_and_not_the_node(site: Cluster) -> None:
    """By the site's place, which the login node need not have, so that no submit can tell."""
    member = site.members["n1"]
    setting = '[scratch]\npath = "/srv/small"\n'
    member.sh("mkdir -p /srv/small && mount -t tmpfs -o size=64M,mode=700 none /srv/small")
    try:
        with configured(site.members.values(), lambda text: text + setting):
            cache = "--volume=/anything:/mnt:perNodeCache=size=300M"
            done = site.run(["srun", "--nodelist=n1", "--image=docker:busybox", cache, "true"])
    finally:
        member.sh("umount -l /srv/small && rmdir /srv/small")
    assert done.returncode == 1
    assert "perNodeCache: 300M do not fit into the 64M that are free [/srv/small]\n" in done.stderr
    assert_idle(site)


def test_volumes_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

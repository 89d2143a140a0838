"""What --volume shows in the container: the user's own rights decide, and the path in the image does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
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


def test_volumes_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

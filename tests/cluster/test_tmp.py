"""What /tmp is in alice's jobs, by the site's setting; and that the node gets rid of one on its disk, whatever is in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.configuration import configured
from cluster.output import sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

IMAGE = "--image=docker:debian:trixie"
SCRIPT = r"""#!/bin/bash
look() { echo "== $1"; shift; srun --ntasks=1 "$@" 2>&1; }
look write sh -c 'echo mine > /tmp/file; stat -c "%U %a" /tmp'
look "a later step" cat /tmp/file
look "a step of its own" --image=docker:busybox ls -A /tmp
look disk sh -c 'grep " /tmp " /proc/self/mountinfo | cut -d" " -f4'
look memory df --output=fstype,target /dev/shm
look flags sh -c 'grep " /tmp " /proc/mounts | cut -d" " -f4'
echo "== node"; ls -A /tmp; ls -ld /tmp/spank-container-*; ls /tmp/spank-container-* 2>&1
look links sh -c 'ln -s /etc /tmp/link; mkdir -p /tmp/a/b; touch /tmp/a/b/c; chmod 0 /tmp/a/b /tmp/a'
"""


def on_disk(site: Cluster) -> str:
    return site.members["n1"].sh("ls -A /tmp | grep spank || true")


@pytest.fixture
def private(site: Cluster) -> Iterator[Cluster]:
    with configured([site.members["n1"]], lambda text: f'{text}[container]\ntmp = "private"\n'):
        yield site


def test_on_disk_it_is_the_jobs_own(private: Cluster) -> None:
    job = private.sbatch(SCRIPT, IMAGE, "--nodelist=n1")
    seen = sections(job.output)
    assert seen["write"] == "alice 1777\n"
    assert seen["a later step"] == "mine\n"
    assert seen["a step of its own"] == ""
    assert re.search(r"/spank-container-\d+-\w{16}/tmp$", seen["disk"])
    assert seen["memory"] == "Type  Mounted on\ntmpfs /dev/shm\n"
    assert {"rw", "nosuid", "nodev"} <= set(seen["flags"].strip().split(","))
    assert re.search(r"^drwx------ \d root root .* /tmp/spank-container-\d+-\w{16}$", seen["node"], re.MULTILINE)
    assert re.search(r"^ls: cannot open directory '/tmp/spank-\S+': Permission denied$", seen["node"], re.MULTILINE)
    assert seen["links"] == ""
    assert_idle(private)
    assert on_disk(private) == ""
    assert_nothing_left(private)


def test_two_jobs_do_not_meet(private: Cluster) -> None:
    for user in ("alice", "bob", "alice"):
        look = "ls -A /tmp; echo > /tmp/$(id -un)"
        done = private.run(["srun", "--nodelist=n1", IMAGE, "sh", "-c", look], user=user)
        assert (done.stdout, done.returncode) == ("", 0)


NASTY = r"""
cd /tmp
for i in $(seq 2000); do mkdir -p $i/x/y; done
for i in $(seq 300); do mkdir d; cd d; touch f; done
chmod -R 0 /tmp/*
chmod 0 /tmp
"""


def test_a_nasty_tree_costs_the_node_nothing(private: Cluster) -> None:
    done = private.run(["srun", "--nodelist=n1", IMAGE, "bash", "-c", NASTY])
    assert done.returncode == 0, done.stderr
    assert_idle(private)
    assert on_disk(private) == ""


def test_the_nodes_own_where_the_site_says_so(site: Cluster) -> None:
    member = site.members["n1"]
    member.sh("echo node > /tmp/of-the-node; chmod 644 /tmp/of-the-node")
    with configured([member], lambda text: f'{text}[container]\ntmp = "host"\n'):
        look = "cat /tmp/of-the-node; echo alice > /tmp/of-alice; stat -c %a /tmp"
        done = site.run(["srun", "--nodelist=n1", IMAGE, "sh", "-c", look])
    assert done.stdout == "node\n1777\n"
    assert (
        member.sh("cat /tmp/of-alice; stat -c %U /tmp/of-alice; rm /tmp/of-alice /tmp/of-the-node") == "alice\nalice\n"
    )


def test_a_volume_replaces_it(private: Cluster) -> None:
    private.run("mkdir -p /shared/alice/tmp && touch /shared/alice/tmp/here")
    volume = "--volume=/shared/alice/tmp:/tmp"
    done = private.run(["srun", "--nodelist=n1", IMAGE, volume, "ls", "/tmp"])
    assert done.stdout == "here\n"
    assert on_disk(private) == ""


def test_tmps_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

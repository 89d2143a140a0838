"""The real cluster, one release of Slurm after the other; fixtures for tests/cluster and tests/security.

`cluster` is a `sandbox.cluster.Cluster` with two compute nodes, n1 and n2, shared by all tests of one release:

    cluster.run(["srun", "hostname"], user="alice", node="login", input=None)   a CompletedProcess with text
    cluster.sbatch("#!/bin/bash\\n…", "-N2", user="alice")                        a Job: id, state, exit_code, output
    cluster.node_state("n1")     cluster.leftovers()     cluster.push(layout, "library/name:tag")     cluster.nodes

Its end is a test too: whatever is left of it on the machine is an error.

`site` is the same cluster with busybox and debian:trixie in its image store, `with_gateway` has a gateway too. Jobs that are looked at while they run are
in `cluster.background`, the look at what jobs have left is in `cluster.aftermath`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from machine import Machine

from sandbox import cluster as sandbox_cluster
from sandbox import gateway
from sandbox.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"


@pytest.fixture(scope="session", params=[release.slurm for release in RELEASES], ids="slurm-{}".format)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    before = Machine.now()
    yield sandbox_cluster.up(request.param, count=2)
    sandbox_cluster.down()
    assert before.comes_back()


@pytest.fixture(scope="session")
def pulled_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the image store as the first release of Slurm has made it; the larger image is pulled only once."""
    return tmp_path_factory.mktemp("images") / "store"


@pytest.fixture(scope="session")
def site(cluster: Cluster, pulled_store: Path) -> Cluster:
    store = sandbox_cluster.DATA / "shared/spank-container"
    if pulled_store.exists():
        shutil.copytree(pulled_store, store, symlinks=True, dirs_exist_ok=True)
    else:
        pull(cluster, "docker:debian:trixie")
        shutil.copytree(store, pulled_store, symlinks=True)
    pull(cluster, "docker:busybox")
    return cluster


@pytest.fixture(scope="module")
def with_gateway(site: Cluster) -> Iterator[Cluster]:
    """The same with an image gateway, whom users ask for images from every node."""
    gateway.start(site)
    try:
        yield site
    finally:
        gateway.stop(site)
        site.members["login"].sh("rm -rf /shared/spank-container/private")
        for user in ("alice", "bob"):
            site.run("rm -rf ~/.config", user=user)


def pull(cluster: Cluster, image: str) -> None:
    done = cluster.run([PROGRAM, "pull", image], user="root")
    assert done.returncode == 0, done.stderr

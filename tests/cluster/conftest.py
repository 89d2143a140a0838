"""The real cluster, one release of Slurm after the other.

`cluster` is a `sandbox.cluster.Cluster` with two compute nodes, n1 and n2, shared by all tests of one release:

    cluster.run(["srun", "hostname"], user="alice", node="login", input=None)   a CompletedProcess with text
    cluster.sbatch("#!/bin/bash\\n…", "-N2", user="alice")                        a Job: id, state, exit_code, output
    cluster.node_state("n1")     cluster.leftovers()     cluster.push(layout, "library/name:tag")     cluster.nodes

Its end is a test too: whatever is left of it on the machine is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from machine import Machine

from sandbox import cluster as sandbox_cluster
from sandbox.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster


@pytest.fixture(scope="session", params=[release.slurm for release in RELEASES], ids="slurm-{}".format)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    before = Machine.now()
    yield sandbox_cluster.up(request.param, count=2)
    sandbox_cluster.down()
    assert before.comes_back()

"""After jobs: wait until Slurm has done with them, and look at what is left. Nothing may be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

# srun and salloc return before the Epilogs have ended.
UNTIL_IDLE = """
for try in $(seq 600); do
    states=$(sinfo --noheader --Node --partition=batch --format=%T | sort -u)
    [ "$states" != idle ] || exit 0
    sleep 0.05
done
sinfo --Node --long
sinfo --list-reasons
exit 1
"""


def assert_idle(cluster: Cluster) -> None:
    """Every node is free for the next job, and none was taken out of service."""
    done = cluster.run(UNTIL_IDLE, user="root")
    assert done.returncode == 0, done.stdout + done.stderr


def assert_nothing_left(cluster: Cluster) -> None:
    """All jobs have ended: no node has anything of theirs, and every node is in service."""
    assert_idle(cluster)
    _wait_for_loops(cluster)
    found = {name: left for name, left in cluster.leftovers().items() if left}
    assert found == {}, found


def _wait_for_loops(cluster: Cluster, seconds: float = 3) -> None:
    """The kernel detaches a loop device a moment after its last user."""
    deadline = time.monotonic() + seconds
    while cluster.loops() and time.monotonic() < deadline:
        time.sleep(0.05)

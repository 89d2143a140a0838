"""Batch jobs that are looked at while they run: they stop where their script says `pause NAME`, until told to go on."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

PRELUDE = """#!/bin/bash
pause() {
    echo "== paused at $1"
    until [ -e "$HOME/go-$SLURM_JOB_ID-$1" ]; do sleep 0.05; done
}
"""


@dataclass(frozen=True, slots=True)
class BackgroundJob:
    """A job of `user`'s that was submitted and may run."""

    cluster: Cluster
    id: int
    user: str

    @property
    def output(self) -> str:
        return self.cluster.run(["cat", f"slurm-{self.id}.out"], user=self.user).stdout

    def reach(self, name: str, seconds: float = 30) -> None:
        """Return when the script says `pause NAME`."""
        deadline = time.monotonic() + seconds
        while f"== paused at {name}\n" not in (output := self.output):
            assert time.monotonic() < deadline, f"job {self.id} does not reach {name}: {output}"
            time.sleep(0.05)

    def go(self, name: str) -> None:
        """Let the script go on from `pause NAME`."""
        self.cluster.run(["touch", f"go-{self.id}-{name}"], user=self.user)

    def wait(self) -> jobs.Job:
        """Return when the job has ended on all nodes."""
        return jobs.wait(self.cluster.members["login"], self.id, user=self.user)


@contextlib.contextmanager
def running(cluster: Cluster, script: str, *options: str, user: str = "alice") -> Iterator[BackgroundJob]:
    """A job whose script is bash without its first line; whatever the body does, the job is over afterwards."""
    job = BackgroundJob(cluster, jobs.start(cluster.members["login"], PRELUDE + script, *options, user=user), user)
    try:
        yield job
    finally:
        cluster.run(["scancel", "--quiet", str(job.id)], user=user)
        job.wait()

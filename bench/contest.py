"""Contenders on a node: what each runs, handed to the stopwatch there, and the samples that come back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.samples import sums
from sandbox.command import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.cluster import Cluster

_STOPWATCH = Path(__file__).with_name("stopwatch.py").read_text()


@dataclass(frozen=True, slots=True)
class Command:
    """Run with `env`, or with what the stopwatch itself has; what is not `timed` prepares or checks."""

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom the contenders run; with a job, in its allocation."""

    cluster: Cluster
    node: str
    user: str
    job: str = ""

    def compete(
        self, rounds: int, *, warm_up: int = 3, **contenders: Sequence[Command]
    ) -> dict[str, tuple[float, ...]]:
        """By contender, the seconds that its timed commands took together, one sample a round after the first few."""
        commands = {name: [asdict(command) for command in commands] for name, commands in contenders.items()}
        spec = json.dumps({"rounds": rounds + warm_up, "contenders": commands})
        job = ("env", f"SLURM_JOB_ID={self.job}") if self.job else ()
        words = (*job, "python3", "-I", "-c", _STOPWATCH)
        done = self.cluster.run(words, user=self.user, node=self.node, input=spec)
        if done.returncode != 0:
            raise SandboxError(f"a contender failed on {self.node}: {done.stderr.strip()}")
        return {name: sums(*zip(*found[warm_up:], strict=True)) for name, found in json.loads(done.stdout).items()}

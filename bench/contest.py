"""Contenders on a node: what each runs, handed to the stopwatch there, and the samples that come back."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.samples import sums
from sandbox.command import SandboxError, run

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
        job = ("env", f"SLURM_JOB_ID={self.job}") if self.job else ()
        words = (*job, "python3", "-I", "-c", _STOPWATCH)
        done = self.cluster.run(words, user=self.user, node=self.node, input=_spec(rounds + warm_up, contenders))
        if done.returncode != 0:
            raise SandboxError(f"a contender failed on {self.node}: {done.stderr.strip()}")
        return _samples(done.stdout, warm_up)


def compete_here(rounds: int, *, warm_up: int, **contenders: Sequence[Command]) -> dict[str, tuple[float, ...]]:
    """The same on this machine, without a cluster."""
    words = (sys.executable, "-I", "-c", _STOPWATCH)
    return _samples(run(words, stdin=_spec(rounds + warm_up, contenders)), warm_up)


def _spec(rounds: int, contenders: Mapping[str, Sequence[Command]]) -> str:
    commands = {name: [asdict(command) for command in commands] for name, commands in contenders.items()}
    return json.dumps({"rounds": rounds, "contenders": commands})


def _samples(said: str, warm_up: int) -> dict[str, tuple[float, ...]]:
    return {name: sums(*zip(*found[warm_up:], strict=True)) for name, found in json.loads(said).items()}

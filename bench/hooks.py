"""Prolog and Epilog by hand on a node: the real scripts with the environment that Slurm itself gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.contest import Command, Place
from bench.rows import AtMostTimes, Row, compared
from bench.samples import Pairs
from sandbox.command import SandboxError

if TYPE_CHECKING:
    from sandbox.cluster import Cluster
    from sandbox.node import Node

_SCRIPT = "/etc/slurm/{0}.d/50-spank-container"
_RECORDER = "/etc/slurm/{0}.d/99-bench"
_RECORDED = "/run/bench.{0}"
_HOOKS = ("prolog", "epilog")
_PYTHON = ("/opt/spank-container/venv/bin/python3", "-I", "-c", "pass")
_CACHE = "--volume=/shared/alice/cache:/mnt:perNodeCache=size=1G"


@dataclass(frozen=True, slots=True)
class Hooks:
    """The environments of one job's Prolog and Epilog."""

    prolog: dict[str, str]
    epilog: dict[str, str]

    def commands(self) -> list[Command]:
        """Both, and in between a look whether the Prolog really made a container, where one is wanted."""
        ready = f"/run/spank-container/jobs/{self.prolog['SLURM_JOB_ID']}/ready"
        wanted = "SPANK_CONTAINER_REQUEST" in self.prolog
        return [
            Command((_SCRIPT.format("prolog"),), self.prolog),
            *([Command(("test", "-e", ready), timed=False)] if wanted else []),
            Command((_SCRIPT.format("epilog"),), self.epilog),
        ]


def hook_rows(cluster: Cluster, node: str, image: str, rounds: int) -> list[Row]:
    """With an image in the store; with a cache too."""
    plain = _recorded(cluster, node, f"--image={image}")
    cache = _recorded(cluster, node, f"--image={image}", _CACHE)
    twice = [Command(_PYTHON, plain.prolog), Command(_PYTHON, plain.epilog)]
    times = Place(cluster, node, "root").compete(rounds, plain=plain.commands(), cache=cache.commands(), floor=twice)
    name = "python3 -I -c pass, twice"
    return [
        compared("Prolog and Epilog", name, Pairs(times["plain"], times["floor"]), AtMostTimes(6)),
        compared("the same, perNodeCache of 1G", name, Pairs(times["cache"], times["floor"])),
    ]


def without_image(cluster: Cluster, node: str, rounds: int) -> Pairs:
    """Both scripts for a job that wants no container, against the shell that they are written for."""
    hooks = _recorded(cluster, node)
    twice = [Command(("/bin/sh", "-c", ":"), environment) for environment in (hooks.prolog, hooks.epilog)]
    times = Place(cluster, node, "root").compete(rounds, hooks=hooks.commands(), floor=twice)
    return Pairs(times["hooks"], times["floor"])


def _recorded(cluster: Cluster, node: str, *options: str) -> Hooks:
    """Run a job on `node` beside whose hooks two scripts keep what Slurm gave them."""
    member = cluster.members[node]
    for hook in _HOOKS:
        place, kept = _RECORDER.format(hook), _RECORDED.format(hook)
        member.sh(f"cat > {place}; chmod 755 {place}", stdin=f"#!/bin/sh\n/bin/cat /proc/$$/environ > {kept}\n")
    try:
        job = cluster.sbatch("#!/bin/sh\n", f"--nodelist={node}", "--output=/dev/null", *options)
    finally:
        member.sh("rm -f " + " ".join(_RECORDER.format(hook) for hook in _HOOKS))
    if job.exit_code != 0:
        raise SandboxError(f"the job whose hooks are recorded ended {job.state}")
    return Hooks(*(_environment(member, _RECORDED.format(hook)) for hook in _HOOKS))


def _environment(member: Node, path: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in member.sh(f"cat {path}").split("\0") if "=" in entry)

"""The daemons of a node: munge, Slurm's controller on the login node, slurmd on the others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sandbox.command import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.node import Node

MUNGE = """
mkdir -p /run/munge
chown munge:munge /run/munge
setpriv --reuid munge --regid munge --clear-groups munged
"""
CONTROLLER = """
mkdir -p /var/lib/slurm/slurmctld
chown slurm:slurm /var/lib/slurm/slurmctld
slurmctld
"""
SLURMD = """
mkdir -p /var/lib/slurm/slurmd
slurmd
"""
STOP = """
pkill --exact 'slurmd|slurmctld'
while pgrep --exact 'slurmd|slurmctld' > /dev/null; do sleep 0.01; done
"""


def start(login: Node, compute: Sequence[Node]) -> None:
    """Start all daemons and wait until Slurm counts every node as idle."""
    _each([login, *compute], MUNGE)
    _start_slurm(login, compute)


def restart(login: Node, compute: Sequence[Node], slurmd: str = SLURMD) -> None:
    """Slurm's, which then read their configuration anew."""
    _each([login, *compute], STOP)
    _start_slurm(login, compute, slurmd)


def _each(nodes: Sequence[Node], script: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: node.sh(script), nodes))


def _start_slurm(login: Node, compute: Sequence[Node], slurmd: str = SLURMD) -> None:
    login.sh(CONTROLLER)
    _each(compute, slurmd)
    deadline = time.monotonic() + 60
    while _idle(login) < len(compute):
        if time.monotonic() > deadline:
            raise SandboxError(f"Slurm does not come up:\n{_complaints(login, compute)}")
        time.sleep(0.05)


def _idle(login: Node) -> int:
    done = login.run(["sinfo", "--noheader", "--Node", "--partition=batch", "--format=%T"])
    return done.stdout.split().count("idle")


def _complaints(login: Node, compute: Sequence[Node]) -> str:
    logs = [login.run(["tail", "-n", "20", "/var/log/slurm/slurmctld.log"])]
    logs += [node.run(["tail", "-n", "20", "/var/log/slurm/slurmd.log"]) for node in compute[:1]]
    return "\n".join(log.stdout + log.stderr for log in logs)

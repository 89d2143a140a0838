"""How long a task's entry takes: as the plugin writes it down, against what the kernel alone needs for it.

Tasks start 16 at a time, as a step starts them; between the steps the floor enters the same container as often.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.allocation import allocated
from bench.rows import AtMostSeconds, AtMostTimes, Row, at_percentile, compared
from bench.samples import Pairs, median, sums
from sandbox.command import SandboxError, run

if TYPE_CHECKING:
    from sandbox.cluster import Cluster
    from sandbox.node import Node

    Series = tuple[float, ...]

_FLOOR = Path(__file__).with_name("floor.c")
_INSTALLED = "/root/floor"
_TIMING = "/var/log/spank-container.timing"
_TASKS = 16
_STEPS = 13
_PROGRAM = "/bin/true"


def entry_rows(cluster: Cluster, node: str, image: str) -> list[Row]:
    """Median and 90th percentile in the plugin, and with the program's start."""
    member = cluster.members[node]
    _install_floor(member)
    floor: list[tuple[float, ...]] = []
    with allocated(cluster, f"--nodelist={node}", f"--image={image}") as job:
        for _ in range(_STEPS):
            _start_tasks(cluster, job)
            floor += _enter(member, job)
        plugin = _plugin_times(member, job)
    setns, confine, execve = zip(*floor, strict=True)
    return _rows(plugin, setns, confine, execve)


def _install_floor(member: Node) -> None:
    """Static: the node's libc may be another release's."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "floor"
        run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", compiled, _FLOOR])
        target = member.root / _INSTALLED.lstrip("/")
        target.write_bytes(compiled.read_bytes())
        target.chmod(0o755)


def _start_tasks(cluster: Cluster, job: str) -> None:
    done = cluster.run(["env", f"SLURM_JOB_ID={job}", "srun", "--overlap", f"--ntasks={_TASKS}", _PROGRAM])
    if done.returncode != 0:
        raise SandboxError(f"srun: {done.stderr.strip()}")


def _enter(member: Node, job: str) -> list[tuple[float, ...]]:
    """(setns, confine, execve) in seconds, for as many processes as a step has tasks."""
    said = member.sh(f"{_INSTALLED} /run/spank-container/jobs/{job}/mnt.ns {_TASKS} {_PROGRAM}")
    return [tuple(float(word) / 1e6 for word in line.split()) for line in said.splitlines()]


def _plugin_times(member: Node, job: str) -> tuple[float, ...]:
    """Lines are JOB STEP TASK MICROSECONDS."""
    lines = [line.split() for line in member.sh(f"cat {_TIMING}").splitlines()]
    times = tuple(float(words[3]) / 1e6 for words in lines if words[0] == job)
    if len(times) != _TASKS * _STEPS:
        raise SandboxError(f"{len(times)} entries were timed, not {_TASKS * _STEPS}")
    return times


def _rows(plugin: Series, setns: Series, confine: Series, execve: Series) -> list[Row]:
    confined = Pairs(plugin, sums(setns, confine))
    started = Pairs(sums(plugin, execve), sums(setns, execve))
    return [
        compared("a task's entry, in the plugin", "setns, bounding set", confined, AtMostSeconds(60e-6)),
        at_percentile(90, "the same, 90th percentile", "the same", confined),
        Row("emptying the bounding set, of that floor", median(confine), len(confine)),
        compared("a task's entry and execve", "setns, execve", started, AtMostTimes(2)),
    ]

"""How long a task's entry takes: as the plugin writes it down, against setns(2) and execve(2) alone.

Tasks start 16 at a time, as a step starts them; between the steps the floor enters the same container as often.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.allocation import allocated
from bench.rows import AtMostSeconds, AtMostTimes, Row, compared
from bench.samples import Pairs, differences, percentile, sums
from sandbox.command import SandboxError, run

if TYPE_CHECKING:
    from sandbox.cluster import Cluster
    from sandbox.node import Node

_FLOOR = Path(__file__).with_name("floor.c")
_TIMING = "/var/log/spank-container.timing"
_TASKS = 16
_STEPS = 13
_PROGRAM = "/bin/true"


def entry_rows(cluster: Cluster, node: str, image: str) -> list[Row]:
    """Median and 90th percentile in the plugin, and with the program's start."""
    member = cluster.members[node]
    with tempfile.TemporaryDirectory() as folder:
        program = _compiled(Path(folder))
        (member.root / "root/floor").write_bytes(program.read_bytes())
        (member.root / "root/floor").chmod(0o755)
    floor: list[tuple[float, float]] = []
    with allocated(cluster, f"--nodelist={node}", f"--image={image}") as job:
        for _ in range(_STEPS):
            _start_tasks(cluster, job)
            floor += _enter(member, job)
        plugin = _plugin_times(member, job)
    return _rows(plugin, *zip(*floor, strict=True))


def _compiled(folder: Path) -> Path:
    """Static: the node's libc may be another release's."""
    run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", folder / "floor", _FLOOR])
    return folder / "floor"


def _start_tasks(cluster: Cluster, job: str) -> None:
    done = cluster.run(["env", f"SLURM_JOB_ID={job}", "srun", "--overlap", f"--ntasks={_TASKS}", _PROGRAM])
    if done.returncode != 0:
        raise SandboxError(f"srun: {done.stderr.strip()}")


def _enter(member: Node, job: str) -> list[tuple[float, float]]:
    """(entered, executed) in seconds, for as many processes as a step has tasks."""
    said = member.sh(f"/root/floor /run/spank-container/jobs/{job}/mnt.ns {_TASKS} {_PROGRAM}")
    return [(float(entered) / 1e6, float(executed) / 1e6) for entered, executed in map(str.split, said.splitlines())]


def _plugin_times(member: Node, job: str) -> tuple[float, ...]:
    """Lines are JOB STEP TASK MICROSECONDS."""
    lines = [line.split() for line in member.sh(f"cat {_TIMING}").splitlines()]
    times = tuple(float(words[3]) / 1e6 for words in lines if words[0] == job)
    if len(times) != _TASKS * _STEPS:
        raise SandboxError(f"{len(times)} entries were timed, not {_TASKS * _STEPS}")
    return times


def _rows(plugin: tuple[float, ...], entered: tuple[float, ...], executed: tuple[float, ...]) -> list[Row]:
    execution = differences(executed, entered)
    whole = Pairs(sums(plugin, execution), executed)
    p90 = Row(
        "the same, 90th percentile",
        percentile(plugin, 90),
        len(plugin),
        "the same",
        percentile(entered, 90),
        percentile(plugin, 90) / percentile(entered, 90),
    )
    return [
        compared("a task's entry, in the plugin", "setns", Pairs(plugin, entered), AtMostSeconds(60e-6)),
        p90,
        compared("a task's entry and execve", "setns and execve", whole, AtMostTimes(2)),
    ]

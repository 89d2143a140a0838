"""A job as Slurm tells of it in the Prolog and Epilog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spank_container.values.volume import HostPath


@dataclass(frozen=True, slots=True)
class Job:
    """`nodes` and `cpus_per_node` are Slurm's own compressed text: n[1-3] and 4(x2),2."""

    id: int
    uid: int
    gid: int
    user: str
    node: str
    workdir: HostPath | None = None
    nodes: str = ""
    cpus_per_node: str = ""
    restart_count: int = 0
    step: int | None = None


@dataclass(frozen=True, slots=True)
class StepSurroundings:
    """What Slurm tells a Prolog but not a step's plugin: srun's own words for the like members of `Job`."""

    nodes: str
    cpus_per_node: str
    workdir: str

"""Which jobs still hold a node, and what Slurm calls this node.

The sweep undoes what dead jobs left, so silence must never look like death: whatever goes wrong here is a BusyError.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SpankContainerError
from spank_container.slurm.command import ask_slurm

if TYPE_CHECKING:
    from collections.abc import Iterable

# A job is dead in these states only; a state that a later release invents counts as alive. COMPLETING hides the state
# below it, for as long as an Epilog may run.
DEAD = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
_HINT = "is slurmctld up? try scontrol ping"


def node_name() -> str:
    """This node's NodeName, which may differ from its host name."""
    told = os.environ.get("SLURMD_NODENAME")
    if told:
        return told
    host = socket.gethostname().split(".")[0]
    try:
        names = ask_slurm(["scontrol", "show", "aliases", host], timeout=30).split()
    except SpankContainerError:
        # Dynamic nodes are in no slurm.conf. A wrong name does no harm: squeue refuses it, and nothing is swept.
        names = []
    if len(names) > 1:
        raise BusyError(f"{host} is several Slurm nodes", hint="set SLURMD_NODENAME to one of them")
    return names[0] if names else host


def live_jobs(node: str) -> frozenset[int]:
    """Job ids (each array task's and het component's own) that hold `node` or whose Epilog may still run there.

    Raises BusyError whenever Slurm does not say.
    """
    try:
        return _by_pyslurm(node)
    except Exception:  # noqa: BLE001  # a pyslurm that is absent, of another release or broken: the commands serve
        return _by_squeue(node)


def _by_pyslurm(node: str) -> frozenset[int]:
    import pyslurm  # noqa: PLC0415  # optional, and it fits one release of Slurm only
    from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415  # needed on this path only

    jobs = pyslurm.Jobs.load().values()
    here = ((str(job.id), job.state) for job in jobs if node in NodeSet(job.allocated_nodes or ""))
    return alive(here)


def _by_squeue(node: str) -> frozenset[int]:
    # All states are asked for and the dead left out here: squeue refuses a state's name that its release does not know.
    argv = ["squeue", "--noheader", f"--nodelist={node}", "--states=all", "--format=%A %T"]
    try:
        said = ask_slurm(argv)
    except SpankContainerError as error:
        raise BusyError(f"asking Slurm for the jobs of {node}: {error}", hint=_HINT) from error
    return parse_squeue(said)


def parse_squeue(text: str) -> frozenset[int]:
    """Lines of `squeue --format="%A %T"`; a line that is not understood is a BusyError, for it may be a live job."""
    jobs = [line.split() for line in text.splitlines() if line.strip()]
    if any(len(job) != 2 or not job[0].isdecimal() for job in jobs):
        raise BusyError("squeue's answer was not understood", hint=_HINT)
    return alive((job, state) for job, state in jobs)


def alive(jobs: Iterable[tuple[str, str]]) -> frozenset[int]:
    """The ids of those among (id, state) that are not dead."""
    return frozenset(int(job) for job, state in jobs if state.upper() not in DEAD)

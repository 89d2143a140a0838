"""What a step costs: with a container against without one, and without one, with the plugin against without it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.allocation import allocated
from bench.contest import Command, Place
from bench.rows import AtMostTimes, Row, compared
from bench.samples import Pairs
from sandbox.command import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

# --overlap: without it a step waits until slurmctld has taken back the processors of the one before.
_SRUN = ("srun", "--overlap", "--ntasks=1")
_PLUGSTACK = "/etc/slurm/plugstack.conf.d/spank-container.conf"
_ON = Command(("mv", f"{_PLUGSTACK}.off", _PLUGSTACK), timed=False)
_OFF = Command(("mv", _PLUGSTACK, f"{_PLUGSTACK}.off"), timed=False)


def step_row(cluster: Cluster, node: str, image: str, rounds: int) -> Row:
    """`srun -n1 true` in the container and, in the same job, on the host."""
    with allocated(cluster, f"--nodelist={node}", f"--image={image}") as job:
        place = Place(cluster, "login", "alice", job)
        _check_container(place)
        times = place.compete(
            rounds,
            container=[Command((*_SRUN, "true"))],
            bare=[Command((*_SRUN, "--image=none", "true"))],
        )
    pairs = Pairs(times["container"], times["bare"])
    return compared("srun in the container", "srun --image=none", pairs, AtMostTimes(1.05))


def _check_container(place: Place) -> None:
    """That the one step is in the container and the other is not: only a container has a hostsfile."""
    for options, there in (((), "-e"), (("--image=none",), "! -e")):
        command = (*_SRUN, *options, "sh", "-c", f"[ {there} /var/hostsfile ]")
        if place.cluster.run(["env", f"SLURM_JOB_ID={place.job}", *command]).returncode != 0:
            raise SandboxError(f"srun {' '.join(options)} runs in the wrong place")


def without_image(cluster: Cluster, node: str, rounds: int) -> tuple[Pairs, Pairs]:
    """With the plugin against without it: srun of a step, and sbatch, of jobs that want no container.

    All of it on one node, where root can take the plugin out of Slurm's configuration between two runs.
    """
    with allocated(cluster, f"--nodelist={node}", user="root") as job, _plugin_restored(cluster, node):
        srun = _with_and_without(Place(cluster, node, "root", job), rounds, (*_SRUN, "true"))
        sbatch = _with_and_without(Place(cluster, node, "root"), rounds, ("sbatch", "--hold", "--wrap=true"))
        cluster.run(["scancel", "--user=root", "--state=PENDING"], user="root")
    return srun, sbatch


def _with_and_without(place: Place, rounds: int, words: tuple[str, ...]) -> Pairs:
    times = place.compete(rounds, plugin=[Command(words)], none=[_OFF, Command(words), _ON])
    return Pairs(times["plugin"], times["none"])


@contextmanager
def _plugin_restored(cluster: Cluster, node: str) -> Iterator[None]:
    try:
        yield
    finally:
        cluster.members[node].sh(f"[ -e {_PLUGSTACK} ] || mv {_PLUGSTACK}.off {_PLUGSTACK}")

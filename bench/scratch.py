"""`bench scratch`: small-file work on a perNodeCache, and on the folder that its file lies in, bound beside it.

All of it within one step of one job, as alice, in turns. The cluster's shared folder is this machine's disk; on a file
system across a network each of these operations is a message, and on the cache none is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.allocation import allocated
from bench.rows import Row, compared
from bench.samples import Pairs, sums
from sandbox.cluster import DATA
from sandbox.command import SandboxError, run

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

_PROGRAM = Path(__file__).with_name("files.c")
_IMAGE = "docker:debian:trixie"
_PLACE = "/shared/alice/bench"
_OPTIONS = (
    f"--image={_IMAGE}",
    f"--volume={_PLACE}:/under",
    f"--volume={_PLACE}:/xfs:perNodeCache=size=1G",
    f"--volume={_PLACE}:/ext4:perNodeCache=size=1G,fs=ext4",
)
_ROUNDS = 15
_FILES = 2000
_WORK = ("create", "stat", "read", "unlink", "create and fsync, a twentieth")

Series = tuple[float, ...]


def scratch(cluster: Cluster) -> list[Row]:
    """A row for each kind of work and file system; the floor is the bound folder."""
    cluster.run(["/opt/spank-container/bin/spank-container", "pull", _IMAGE], user="root")
    cluster.run(["mkdir", "-p", _PLACE])
    _install_program()
    with allocated(cluster, "--nodelist=n1", *_OPTIONS) as job:
        xfs, ext4, under = _measured(cluster, job)
    cluster.run(["rm", "-r", _PLACE])
    return [*_rows("xfs", xfs, under), *_rows("ext4", ext4, under)]


def _install_program() -> None:
    """Static: the image has a libc of its own."""
    target = DATA / _PLACE.lstrip("/") / "files"
    run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", target, _PROGRAM])


def _measured(cluster: Cluster, job: str) -> tuple[list[Series], ...]:
    """By folder, a series for each kind of work."""
    folders = ("/xfs", "/ext4", "/under")
    command = ["/under/files", str(_ROUNDS + 1), str(_FILES), *folders]
    done = cluster.run(["env", f"SLURM_JOB_ID={job}", "srun", "--ntasks=1", *command])
    if done.returncode != 0:
        raise SandboxError(f"files: {done.stderr.strip()}")
    lines = [line.split() for line in done.stdout.splitlines()][len(folders) :]  # the first round warms up
    return tuple(
        list(zip(*[map(float, times) for index, *times in lines if index == str(number)], strict=True))
        for number in range(len(folders))
    )


def _rows(name: str, cache: list[Series], under: list[Series]) -> list[Row]:
    each = [
        compared(f"{work}: {name}", "the folder", Pairs(*pair)) for work, *pair in zip(_WORK, cache, under, strict=True)
    ]
    *mostly, _ = zip(cache, under, strict=True)
    together = Pairs(*(sums(*series) for series in zip(*mostly, strict=True)))
    return [*each, compared(f"the first four: {name}", "the folder", together)]

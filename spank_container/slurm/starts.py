"""When the oldest job started that may still read an image."""

from __future__ import annotations

from spank_container.errors import BusyError, SpankContainerError
from spank_container.slurm.command import ask_slurm
from spank_container.slurm.jobs import DEAD

_NOT_STARTED = DEAD | {"PENDING"}


def oldest_start() -> float | None:
    """In seconds since 1970; None when no job is left. Raises BusyError whenever Slurm does not say."""
    argv = ["squeue", "--noheader", "--states=all", "--format=%T %S"]
    try:
        said = ask_slurm(argv, time_format="%s")
    except SpankContainerError as error:
        raise BusyError(f"asking Slurm for its jobs: {error}", hint="is slurmctld up? try scontrol ping") from error
    return parse_starts(said)


def parse_starts(text: str) -> float | None:
    """Lines of `STATE START`; a line that is not understood is a BusyError, for it may be an old job."""
    starts = []
    for line in text.splitlines():
        state, _, start = line.strip().partition(" ")
        if not state or state.upper() in _NOT_STARTED:
            continue
        if not start.isdecimal():
            raise BusyError("squeue's answer was not understood", hint=f"it said: {line[:80]}")
        starts.append(float(start))
    return min(starts, default=None)

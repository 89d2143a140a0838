"""Undo what a record and its journal say was begun, in reverse; each step may find its work done already.

The configuration of today is never asked: what is undone is what was done.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError
from spank_container.executor.image_mounts import release_image
from spank_container.executor.scratch_end import end_scratch
from spank_container.kernel import mounts, namespace
from spank_container.plan.ops import HostOp, JoinNamespace, MakeScratch, MakeTmp, MountImage, PinNamespace
from spank_container.state import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.state import ContainerDirectory, StateDirectory


def undo(state: StateDirectory, directory: ContainerDirectory) -> None:
    """Take back all of one container and its steps', and remove its directory.

    Raises NodeError when something is still there afterwards, and BusyError when only time is missing, with all else
    done; the directory then stays, to try again.
    """
    directory.close()
    busy: list[BusyError] = []
    for step in directory.steps():
        with _kept(busy):
            undo(state, step)
    record = directory.record()
    if record is not None:
        for index, note in reversed(Journal(directory).begun()):
            with _kept(busy):
                _undo_op(record.plan.host[index], note, state)
    _verify(directory)
    if busy:
        raise busy[0]
    directory.remove()


@contextlib.contextmanager
def _kept(errors: list[BusyError]) -> Iterator[None]:
    try:
        yield
    except BusyError as error:
        errors.append(error)


def _undo_op(op: HostOp, note: str, state: StateDirectory) -> None:
    match op:
        case MountImage():
            release_image(state, op)
        case MakeScratch():
            end_scratch(note)
        case MakeTmp():
            from spank_container.executor.private_tmp import remove_tmp  # noqa: PLC0415  # few sites have it

            remove_tmp(op, note)
        case PinNamespace():
            # Slurm has ended the job's processes by now, unless their slurmstepd was killed before it could.
            namespace.end_members(op.pin)
            mounts.unmount(op.pin)
        case JoinNamespace():
            mounts.unmount(op.pin)  # who is in there may belong to the job's other steps


def _verify(directory: ContainerDirectory) -> None:
    prefix = f"{directory.path}/"
    mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    left = [line.split(" ", 5)[4] for line in mountinfo.splitlines()]
    if any(point.startswith(prefix) for point in left):
        raise NodeError(f"something is still mounted below {directory.path}", hint="spank-container sweep tries again")

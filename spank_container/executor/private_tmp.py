"""A /tmp of the job's own on the node's disk: a folder of the user's in one of root's, below the node's /tmp.

Root's folder is closed to all, so on the node nobody can rename or swap what is in it; the user gets at theirs through
the container alone. It is taken away as the user, by descriptor, and in bounded time: a tree that does not come off is
left for `spank-container sweep`, and costs the node nothing but its disk.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError
from spank_container.kernel import mounts
from spank_container.kernel.credentials import acting_as, credentials
from spank_container.kernel.removal import empty_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from spank_container.plan.ops import MakeTmp

_USERS = "tmp"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 60  # seconds, for one attempt: a Prolog or Epilog that Slurm has to end drains the node


def make_tmp(op: MakeTmp, prefix: str, journal: Callable[[str], None]) -> int:
    """A descriptor of a detached mount of the folder. `journal` is told root's folder before it is made."""
    path = f"{op.place}/{prefix}{secrets.token_hex(8)}"
    journal(path)
    uid, gid, *_ = op.owner
    try:
        os.mkdir(path, 0o700)
        with mounts.closing(os.open(path, _FOLDER)) as outer:
            os.mkdir(_USERS, 0o700, dir_fd=outer)
            os.chown(_USERS, uid, gid, dir_fd=outer)
            os.chmod(_USERS, 0o1777, dir_fd=outer)  # noqa: S103  # as every /tmp; outer is closed
            return mounts.clone_tree(outer, _USERS)
    except OSError as error:
        raise NodeError.from_os_error("making the job's /tmp", error, path) from error


def remove_tmp(op: MakeTmp, path: str) -> None:
    """Take it away, where it is; an empty `path` was never journalled.

    Raises BusyError where something is left after a while, or does not come off at all.
    """
    outer = _open_ours(path) if path else None
    if outer is None:
        return
    with mounts.closing(outer):
        left = _remove_users(op, outer) if _USERS in os.listdir(outer) else ""
    if left:
        raise BusyError(f"the job's /tmp is not empty yet: {left} [{path}]", hint="spank-container sweep tries again")
    os.rmdir(path)


def _remove_users(op: MakeTmp, outer: int) -> str:
    with mounts.closing(os.open(_USERS, _FOLDER, dir_fd=outer)) as users:
        if os.fstat(users).st_uid == op.owner[0]:  # else a crash came before chown(2), and it is empty
            with acting_as(credentials(op.owner)):
                left = empty_folder(users, time.monotonic() + _LONGEST)
            if left:
                return left
    os.rmdir(_USERS, dir_fd=outer)
    return ""


def _open_ours(path: str) -> int | None:
    """Root's own and closed, or it is none that we made: in /tmp anybody may make what they like."""
    try:
        folder = os.open(path, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    status = os.fstat(folder)
    if status.st_uid or stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
        os.close(folder)
        return None
    return folder

"""perNodeCache: a file of the user's, a file system of ours in it, a mount that nobody else has.

The file has no name as early as can be: never, where the file system knows O_TMPFILE, else from right after its
making. So no crash leaves it behind, and its owner cannot open it and change the file system under the kernel.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.executor.layers import USERS_FOLDER
from spank_container.kernel import mounts
from spank_container.kernel.credentials import Credentials, acting_as
from spank_container.kernel.loop import attached
from spank_container.run import run
from spank_container.values.size import format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from spank_container.plan.ops import MakeScratch

_MKFS = {
    # -K: no discard, the file is a hole already. Direct I/O and small sectors are the loop device's business.
    "xfs": ["mkfs.xfs", "-q", "-K", "-f"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"],
}
_BLOCK_SIZE = {"xfs": "-bsize={}", "ext4": "-b{}"}
_USERS_FAULT = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ELOOP,
}


def make_scratch(op: MakeScratch, file_name: str, journal: Callable[[str], None]) -> int:
    """A descriptor of the detached mount of a new file system, whose root the user owns.

    `journal` is told the path of the backing file before there is one that has a name.
    """
    backing = _backing_file(op, file_name, journal)
    with mounts.closing(backing), attached(backing, read_only=False) as device:
        block = [_BLOCK_SIZE[op.filesystem].format(op.block_size)] if op.block_size else []
        run([*_MKFS[op.filesystem], *block, device])
        tree = mounts.new_filesystem(op.filesystem, {"source": device})
    uid, gid, *_ = op.owner
    os.mkdir(USERS_FOLDER, 0o700, dir_fd=tree)
    os.chown(USERS_FOLDER, uid, gid, dir_fd=tree)
    return tree


def _backing_file(op: MakeScratch, file_name: str, journal: Callable[[str], None]) -> int:
    uid, gid, *groups = (0, 0) if op.by_site else op.owner
    owner = Credentials(uid, gid, tuple(groups))
    try:
        with acting_as(owner):
            folder = _folder(op.place, by_site=op.by_site)
        with mounts.closing(folder):
            _check_room(folder, op.place, op.size, overcommit=op.overcommit)
            return _make_file(folder, file_name, op.size, owner, journal)
    except OSError as error:
        if error.errno in _USERS_FAULT and not op.by_site:
            raise _users_fault(op.place, op.size, error) from error
        raise NodeError.from_os_error("perNodeCache: making the backing file", error, op.place) from error


def _make_file(folder: int, file_name: str, size: int, owner: Credentials, journal: Callable[[str], None]) -> int:
    with acting_as(owner):
        backing = _nameless(folder)
    if backing is None:
        journal(os.path.join(os.readlink(f"/proc/self/fd/{folder}"), file_name))
        with acting_as(owner):
            backing = _unlinked(folder, file_name)
    try:
        os.truncate(backing, size)
    except OSError:
        os.close(backing)
        raise
    return backing


def check_place(place: str, size: int, *, overcommit: bool) -> None:
    """Raises UserError where a backing file of this process's user could not be made: asked at submit."""
    try:
        with mounts.closing(_folder(place, by_site=False)) as folder:
            if not os.access(f"/proc/self/fd/{folder}", os.W_OK | os.X_OK, effective_ids=True):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            _check_room(folder, place, size, overcommit=overcommit)
    except OSError as error:
        raise _users_fault(place, size, error) from error


def _users_fault(place: str, size: int, error: OSError) -> UserError:
    return UserError(
        f"perNodeCache: making a file of {format_size(size)}: {os.strerror(error.errno or 0)} [{place}]",
        hint="name a folder that exists, that you may write, and that has room",
    )


def _folder(place: str, *, by_site: bool) -> int:
    """The folder that the user means: the place itself, or what holds it, since Shifter's users name a file."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return mounts.open_no_magic(place, flags)
    except (FileNotFoundError, NotADirectoryError):
        if by_site:
            raise
        return mounts.open_no_magic(os.path.dirname(place), flags)


def _check_room(folder: int, place: str, size: int, *, overcommit: bool) -> None:
    room = os.fstatvfs(folder)
    free = room.f_bavail * room.f_frsize
    if not overcommit and free < size:
        raise UserError(
            f"perNodeCache: {format_size(size)} do not fit into the {free >> 20}M that are free [{place}]",
            hint="ask for less, or name another place",
        )


def _nameless(folder: int) -> int | None:
    """None where the file system cannot: NFS, Lustre, GPFS. EISDIR is what kernels said that did not know O_TMPFILE."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR}:
            raise
        return None


def _unlinked(folder: int, file_name: str) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
    backing = os.open(file_name, flags, 0o600, dir_fd=folder)
    os.unlink(file_name, dir_fd=folder)
    return backing

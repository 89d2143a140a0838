"""perNodeCache: a file of the user's, a file system of ours in it, a mount that nobody else has.

What it holds is gone with the job, so nothing in it waits for a disk that need not.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.executor.backing_file import check_filesystem, check_room, folder_of, give_size, make_file
from spank_container.executor.layers import USERS_FOLDER
from spank_container.executor.scratch_end import DEVICE
from spank_container.kernel import mounts
from spank_container.kernel.bounded import opened_within
from spank_container.kernel.credentials import Credentials, acting_as, credentials
from spank_container.kernel.loop import attached, backing_file
from spank_container.run import ProgramFailedError, run
from spank_container.values.size import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spank_container.plan.ops import MakeScratch

_MKFS = {
    # -K: no discard, since it would give back what was reserved, and a new file holds nothing anyway.
    "xfs": ["mkfs.xfs", "-q", "-K", "-f"],
    # With a journal, though nobody will ever recover it: without one ext4 does not use an inode again for some seconds,
    # and looks for another through all that were, which makes creating many small files 30 times slower.
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"],
}
# fsync(2) need not reach the disk, since a crash ends the job. XFS has no such option any more; to tell the loop device
# (queue/write_cache) would tell whoever has it after us, too, for the setting outlives what is attached.
_OPTIONS: dict[str, dict[str, str | None]] = {"xfs": {}, "ext4": {"nobarrier": None}}
_BLOCK_SIZE = {"xfs": "-bsize={}", "ext4": "-b{}"}
_SECTOR = 512
_LONGEST_LOOK = 60  # seconds; a file system that is mounted on demand may take its time
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_USERS_FAULT = _NO_ROOM | {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ELOOP,
}


class Promises:
    """What the caches of one job may yet take of each file system, by its device number, where nothing reserves it."""

    def __init__(self) -> None:
        self._bytes: dict[int, int] = {}

    def on(self, descriptor: int) -> int:
        return self._bytes.get(os.fstat(descriptor).st_dev, 0)

    def add(self, descriptor: int, size: int) -> None:
        self._bytes[os.fstat(descriptor).st_dev] = self.on(descriptor) + size


def make_scratch(op: MakeScratch, file_name: str, promises: Promises, journal: Callable[[str], None]) -> int:
    """A descriptor of the detached mount of a new file system, with a folder of the user's in it.

    `journal` is told of what will have a name, before it has. Raises UserError for a place that cannot hold it.
    """
    owner = credentials(() if op.by_site else op.owner)
    try:
        with _folder(op, owner) as folder:
            backing = make_file(folder, file_name, owner, journal)
            with mounts.closing(backing):
                _give_size(op, folder, backing, owner, promises)
                return _mounted(op, backing, owner, journal)
    except OSError as error:
        if error.errno in (_NO_ROOM if op.by_site else _USERS_FAULT):
            raise _users_fault(op.place, op.size, error) from error
        raise NodeError.from_os_error("perNodeCache: making the backing file", error, op.place) from error


@contextlib.contextmanager
def _folder(op: MakeScratch, owner: Credentials) -> Iterator[int]:
    def find() -> int:
        with acting_as(owner):
            return folder_of(op.place, only=op.by_site)

    with mounts.closing(opened_within(_LONGEST_LOOK, find, op.place)) as folder:
        if not op.by_site:
            check_filesystem(folder, op.place)
        yield folder


def _give_size(op: MakeScratch, folder: int, backing: int, owner: Credentials, promises: Promises) -> None:
    """As the user, whose quota it is: what a loop device writes later is written by the kernel, which has none."""
    if not op.overcommit:
        check_room(folder, op.place, op.size, promises.on(folder))
    with acting_as(owner):
        reserved = give_size(backing, op.size, reserve=not op.overcommit)
    if not reserved:
        promises.add(folder, op.size)


def _mounted(op: MakeScratch, backing: int, owner: Credentials, journal: Callable[[str], None]) -> int:
    block = [_BLOCK_SIZE[op.filesystem].format(op.block_size)] if op.block_size else []
    # Blocks may be smaller than the sectors of the disk that the file is on, but not than the loop device's.
    with attached(backing, read_only=False, block_size=_SECTOR if op.block_size else 0) as device:
        journal(f"{DEVICE}{device} {backing_file(device)}")
        try:
            run([*_MKFS[op.filesystem], *block, device])
        except ProgramFailedError:
            _check_writable(backing, op.size, owner)
            raise
        tree = mounts.new_filesystem(op.filesystem, {"source": device, **_OPTIONS[op.filesystem]})
        if op.filesystem == "xfs":
            _give_up_early(os.path.basename(device))
    uid, gid, *_ = op.owner
    os.mkdir(USERS_FOLDER, 0o700, dir_fd=tree)
    os.chown(USERS_FOLDER, uid, gid, dir_fd=tree)
    return tree


def _check_writable(backing: int, size: int, owner: Credentials) -> None:
    """Ask for the reason that a block device's user is not told: ENOSPC and EDQUOT are EIO to it."""
    with acting_as(owner):
        os.pwrite(backing, bytes(1 << 20), size // 3)
        os.fsync(backing)


def _give_up_early(device: str) -> None:
    """XFS tries for ever to write what it has no room for, and whoever waits for that cannot be killed; xfs(5).

    Only a cache that was promised more than there is comes to that. Then it ends with EIO.
    """
    for kind in ("ENOSPC", "EIO", "default"):
        with contextlib.suppress(OSError):
            Path(f"/sys/fs/xfs/{device}/error/metadata/{kind}/max_retries").write_text("0", encoding="ascii")


def check_place(place: str, size: int, *, overcommit: bool) -> None:
    """Raises UserError where a backing file of this process's user could not be made: asked at submit."""
    try:
        with mounts.closing(folder_of(place, only=False)) as folder:
            if not os.access(f"/proc/self/fd/{folder}", os.W_OK | os.X_OK, effective_ids=True):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            check_filesystem(folder, place)
            if not overcommit:
                check_room(folder, place, size)
    except OSError as error:
        raise _users_fault(place, size, error) from error


def _users_fault(place: str, size: int, error: OSError) -> UserError:
    return UserError(
        f"perNodeCache: making a file of {format_size(size)}: {os.strerror(error.errno or 0)} [{place}]",
        hint="ask for less, or name another place"
        if error.errno in _NO_ROOM
        else "name a folder that exists, that you may write, and that has room",
    )

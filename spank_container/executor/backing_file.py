"""The file behind a perNodeCache: the user's by quota, but nobody's to open, not even its owner's.

The kernel will mount what is in it, so its owner must never get at it: who can change a file system under a kernel's
driver can do more than that driver was written for. A file that never had a name (O_TMPFILE) cannot be opened. Where a
file system knows no such file, it is made with a name in a folder of root's, mode 0700, which the user cannot enter on
this node nor on any other, and the name goes before anything is in it.

Rejected for that case: to make it as the user and unlink it at once. In between the owner may open it, or link it
(st_nlink would tell), or keep an O_PATH descriptor, which a write lease (F_SETLEASE) does not see and which can be
opened again later; and a lease knows nothing of other nodes, where a cluster's file system can be opened as well. So
where root is nobody *and* files without a name are unknown, there is no cache: the refusal says so. Likewise where an
unlinked file keeps a name (.nfsXXXX), and on a FUSE file system that the user serves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.kernel import mounts, syscalls
from spank_container.kernel.credentials import acting_as
from spank_container.values.size import format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from spank_container.kernel.credentials import Credentials

FOLDER = "folder:"
"""What the journal's note of root's folder begins with."""
_FILE = "file"
_NO_SUCH_THING = {errno.EOPNOTSUPP, errno.ENOSYS}
# A reservation there is memory, taken at once.
_IN_MEMORY = {"tmpfs", "ramfs"}


def folder_of(place: str, *, only: bool) -> int:
    """The folder that the acting user means: the place itself, or what holds it, since Shifter's users name a file."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return mounts.open_no_magic(place, flags)
    except (FileNotFoundError, NotADirectoryError):
        if only:
            raise
        return mounts.open_no_magic(os.path.dirname(place), flags)


def make_file(folder: int, prefix: str, owner: Credentials, journal: Callable[[str], None]) -> int:
    """An empty file that is `owner`'s, open for reading and writing, in the file system of `folder`, without a name.

    `journal` is told of root's folder before there is one.
    """
    with acting_as(owner):
        backing = _nameless(folder)
    if backing is None:
        name = f"{prefix}.{secrets.token_hex(8)}"
        journal(FOLDER + os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name))
        backing = _unlinked(folder, name, owner)
    return backing


def _nameless(folder: int) -> int | None:
    """None where the file system cannot: NFS, Lustre. EISDIR is what kernels said that did not know O_TMPFILE."""
    try:
        # O_EXCL: no name can be given to it later; open(2).
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR}:
            raise
        return None


def _unlinked(folder: int, name: str, owner: Credentials) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except PermissionError as error:
        raise _cannot_hide("root is nobody there") from error
    with mounts.closing(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)) as closed:
        if not _is_roots(closed):
            raise _cannot_hide("root is nobody there")
        backing = os.open(_FILE, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=closed)
        os.fchown(backing, owner.uid, owner.gid)
        os.unlink(_FILE, dir_fd=closed)
        if os.listdir(closed):  # .nfsXXXX
            os.close(backing)
            raise _cannot_hide("a file that is in use keeps a name there")
    os.rmdir(name, dir_fd=folder)
    return backing


def _is_roots(folder: int) -> bool:
    """The folder's owner may have swapped it, but can make none that is root's and closed."""
    status = os.fstat(folder)
    return status.st_uid == 0 and stat.S_IMODE(status.st_mode) == stat.S_IRWXU


def _cannot_hide(why: str) -> UserError:
    return UserError(
        f"perNodeCache: this file system cannot keep a file from its owner: {why}",
        hint="name a folder of another file system; the site may name one for all (scratch.path)",
    )


def remove_folder(path: str) -> None:
    """What a crash left of `make_file`, if anything: what was journalled may never have been made."""
    try:
        folder = mounts.open_without_links(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # the user has taken away or swapped what it was in
        return
    with mounts.closing(folder):
        _remove(folder, os.path.basename(path))


def _remove(folder: int, name: str) -> None:
    try:
        closed = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return
    with mounts.closing(closed):
        if not _is_roots(closed):
            return
        for file in os.listdir(closed):
            with contextlib.suppress(FileNotFoundError):  # what is released at last goes by itself
                os.unlink(file, dir_fd=closed)
    os.rmdir(name, dir_fd=folder)


def check_filesystem(folder: int, place: str) -> None:
    """Raises UserError for one that a user serves, who could then change at will what the kernel has mounted."""
    server = mounts.fuse_server(folder)
    if server:
        raise UserError(
            f"perNodeCache: {place} is on a file system that a user serves, and the kernel may not rely on that",
            hint="name a folder of another file system",
        )


def give_size(backing: int, size: int, *, reserve: bool) -> bool:
    """Make it `size` bytes long; whether that room is reserved now, and the writer's quota charged. An OSError if not."""
    if reserve and mounts.filesystem_type(backing) not in _IN_MEMORY:
        try:
            syscalls.fallocate(backing, size)
        except OSError as error:
            if error.errno not in _NO_SUCH_THING:
                raise
        else:
            return True
    os.truncate(backing, size)
    return False


def check_room(folder: int, place: str, size: int, promised: int = 0) -> None:
    """Raises UserError where less is free; `promised` is what other caches of the job will take of it."""
    room = os.fstatvfs(folder)
    free = max(0, room.f_bavail * room.f_frsize - promised)
    if free < size:
        raise UserError(
            f"perNodeCache: {format_size(size)} do not fit into the {free >> 20}M that are free [{place}]",
            hint="ask for less, or name another place",
        )

"""Mounts that show root's files as a user's: ID-mapped, by a user namespace that nobody lives in.

See mount_setattr(2), "ID-mapped mounts". What is on the file system stays as it is; the mount alone is different.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from spank_container.kernel import syscalls
from spank_container.kernel.mounts import closing

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDS = 2**32 - 1  # the last 32-bit number is no id; user_namespaces(7)


def give_roots_files(tree: int, userns: int) -> None:
    """Map the ids of a detached mount by the user namespace behind `userns`.

    An OSError where the file system cannot: squashfs since Linux 6.2, tmpfs since 6.3.
    """
    syscalls.mount_setattr(tree, attr_set=syscalls.MOUNT_ATTR_IDMAP, userns=userns, recursive=True)


@contextlib.contextmanager
def exchanging_root(uid: int, gid: int) -> Iterator[int]:
    """A user namespace that maps root to the user, and the user to root, since a mapping must be one to one.

    An OSError where the site allows no user namespaces, to root either (user.max_user_namespaces).
    """
    with _in_user_namespace() as pid:
        for file, number in (("uid_map", uid), ("gid_map", gid)):
            with open(f"/proc/{pid}/{file}", "w", encoding="ascii", buffering=4096) as table:
                table.write(_exchange(number))
        userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    with closing(userns):
        yield userns


def _exchange(number: int) -> str:
    """Lines of FIRST-ON-DISK FIRST-SHOWN COUNT, written at once: the kernel takes one write(2)."""
    if number == 0:
        return f"0 0 {_IDS}\n"
    below, above = number - 1, _IDS - number - 1
    lines = [(0, number, 1), (number, 0, 1), (1, 1, below), (number + 1, number + 1, above)]
    return "".join(f"{first} {shown} {count}\n" for first, shown, count in lines if count)


@contextlib.contextmanager
def _in_user_namespace() -> Iterator[int]:
    """The pid of a child that has unshared; it ends with the block, or when its parent dies."""
    said, say = os.pipe2(os.O_CLOEXEC)
    wait, leash = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(leash)
        _unshare_and_wait(say, wait)
    os.close(say)
    os.close(wait)
    try:
        if failed := os.read(said, 4):
            number = int.from_bytes(failed, "little")
            raise OSError(number, os.strerror(number))
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(said)
        os.close(leash)


def _unshare_and_wait(say: int, wait: int) -> None:
    """Says nothing, by closing, when it has a namespace of its own, else the errno."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        os.close(say)
        os.read(wait, 1)
    except OSError as error:
        os.write(say, (error.errno or 0).to_bytes(4, "little"))
    finally:
        os._exit(0)

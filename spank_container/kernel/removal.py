"""Emptying a folder that its owner has made as nasty as can be: deep, closed to its owner, or still growing.

Only by descriptors that lead through no link, never into another mount, with few descriptors however deep it is. Run
as the owner, it can do no more than they could.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time

from spank_container.kernel.mounts import closing

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty_folder(folder: int, deadline: float) -> str:
    """Remove all that is in `folder`, open for reading, until time.monotonic() says `deadline`.

    Returns why something is left; empty when nothing is. What one entry does not allow spares no other.
    """
    os.fchmod(folder, stat.S_IRWXU)
    work = _Work(folder, deadline)
    try:
        while work.go_through():
            pass
    except TimeoutError:
        return "there is too much in it"
    return work.reason if os.listdir(folder) else ""


class _Work:
    """Passes over one folder, which take away what they find one level deep, and move up what is deeper."""

    def __init__(self, folder: int, deadline: float) -> None:
        self._folder = folder
        self._deadline = deadline
        self.reason = ""

    def go_through(self) -> bool:
        """Whether anything was removed, so that another pass may find more."""
        removed = False
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    self._remove(entry.name)
                    removed = True
                except TimeoutError:
                    raise
                except OSError as error:
                    self.reason = os.strerror(error.errno or 0)
        return removed

    def _remove(self, name: str) -> None:
        self._check_time()
        if _unlink(self._folder, name):
            return
        with closing(_open_closed(self._folder, name)) as inner, os.scandir(inner) as entries:
            for entry in entries:
                self._check_time()
                if not _unlink(inner, entry.name):
                    self._move_up(inner, entry.name)
        os.rmdir(name, dir_fd=self._folder)

    def _move_up(self, inner: int, name: str) -> None:
        os.close(_open_closed(inner, name))  # rename(2) wants to write the folder's ".."
        os.rename(name, f".{secrets.token_hex(16)}", src_dir_fd=inner, dst_dir_fd=self._folder)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def _unlink(folder: int, name: str) -> bool:
    """Whether it was no folder; then it is gone."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        return True
    return True


def _open_closed(folder: int, name: str) -> int:
    """Open the folder `name`, giving its owner all rights on it first; whatever it is then, no link is followed."""
    path = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if os.fstat(path).st_dev != os.fstat(folder).st_dev:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if stat.S_IMODE(os.fstat(path).st_mode) & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{path}", stat.S_IRWXU)
        return os.open(".", _OPEN, dir_fd=path)
    finally:
        os.close(path)

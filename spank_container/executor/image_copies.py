"""Copies of images on a node's own disk, where the site wants them: [images] node_cache.

A copy is mounted in place of the store's file, so that a job reads nothing over the network. The copies that no job
used for longest make room for new ones; one that is mounted goes on to serve its jobs after it was removed, since the
loop device holds it. Whatever goes wrong with a copy, the store's own file serves.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.images.durable import locked
from spank_container.log import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = (
    1 << 30
)  # sendfile(2) takes 2 GiB at most; copy_file_range(2) does not go from one kind of file system to another


@dataclass(frozen=True, slots=True)
class Copy:
    """`used` is when a job last asked for it, in seconds since 1970."""

    digest: str
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class ImageCopies:
    """The folder, which is root's alone since private images are in it too, and how many bytes it may hold."""

    folder: Path
    limit: int

    def opened(self, digest: str, original: int) -> int:
        """A descriptor of the copy, which is made if need be from the open file `original`; or `original` itself.

        The caller gives `original` away.
        """
        try:
            copy = self._copied(digest, original)
        except OSError as error:
            log(f"no copy of the image {digest}: {os.strerror(error.errno or 0)} [{self.folder}]")
            return original
        if copy is None:
            return original
        os.close(original)
        return copy

    def list(self) -> tuple[Copy, ...]:
        """The last used first."""
        found = [Copy(path.stem, status.st_size, status.st_mtime) for path, status in self._files()]
        return tuple(sorted(found, key=lambda copy: -copy.used))

    def _copied(self, digest: str, original: int) -> int | None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_roots(self.folder)
        path = self.folder / f"{digest}.squashfs"
        # Jobs that want another image do not wait for this one.
        with locked(self.folder / f".{digest}.lock"):
            size = os.fstat(original).st_size
            if not (path.exists() and path.stat().st_size == size):
                if not self._make_room(size):
                    return None
                _copy(original, path, size)
            os.utime(path)
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _make_room(self, size: int) -> bool:
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        excess = sum(status.st_size for _, status in files) + size - self.limit
        for path, status in files if size <= self.limit else ():
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= status.st_size
        return excess <= 0

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob("*.squashfs"):
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _check_roots(folder: Path) -> None:
    """Whoever else could write there would have the kernel mount what he likes, and could read private images."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or (status.st_uid, stat.S_IMODE(status.st_mode)) != (0, 0o700):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def _copy(original: int, path: Path, size: int) -> None:
    """Whole or not at all. No other process writes this partial file: we hold the lock of its digest."""
    partial = path.with_name(f".{path.stem}.partial")
    partial.unlink(missing_ok=True)
    copy = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(copy, 0, size)  # tells now whether there is room
        done = 0
        while done < size:
            done += _send(original, copy, done)
        os.fsync(copy)
        partial.rename(path)
    finally:
        os.close(copy)
        partial.unlink(missing_ok=True)


def _send(original: int, copy: int, start: int) -> int:
    sent = os.sendfile(copy, original, start, _CHUNK)
    if not sent:
        raise OSError(errno.EIO, os.strerror(errno.EIO))  # the image ended early
    return sent

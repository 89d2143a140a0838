"""The layers that pulls leave in the store, so that a shared base is downloaded once: the least used go first.

A pull holds the folder's lock shared, for as long as it counts on what it found there; whoever trims needs it alone,
and leaves it to the next pull where it is not.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spank_container.images.durable import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """While the body runs, nothing is taken out of the cache."""
    make_folder(folder, 0o700)
    lock = _open_lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def touch(blobs: Iterable[Path]) -> None:
    """Note that these were used. The times are ours to set: nobody can rely on a shared file system's access times."""
    now = time.time()
    for blob in blobs:
        os.utime(blob, (now, now))


def trim(folder: Path, limit: int) -> int:
    """Remove the blobs that were not used for longest until `limit` bytes are left; returns how many bytes went."""
    lock = _open_lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _remove_oldest(folder, limit)
    except BlockingIOError:
        return 0
    finally:
        os.close(lock)


def _remove_oldest(folder: Path, limit: int) -> int:
    blobs = [(blob.stat(), blob) for blob in folder.glob("*/*") if blob.is_file()]
    excess = sum(status.st_size for status, _ in blobs) - limit
    gone = 0
    for status, blob in sorted(blobs, key=lambda one: one[0].st_mtime):
        if gone >= excess:
            break
        blob.unlink()
        gone += status.st_size
    return gone


def _open_lock(folder: Path) -> int:
    return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

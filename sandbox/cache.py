"""What is expensive to make and the same for every checkout: made once, kept by a hash of its recipe.

A finished item appears by one rename, so a half-made one is never taken for whole, and two clones that want the same
item at once make it once. The folder may be deleted at any time when no cluster is up.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.command import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = Path(os.environ.get("SPANK_CONTAINER_CACHE", "/var/cache/spank-container-dev"))


def digest(*parts: str | bytes) -> str:
    """A short name for a recipe."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` alone. The kernel releases it when we die, however we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(kind: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind`-RECIPE of the cache; `make` fills an empty one when there is none yet."""
    finished = CACHE / f"{kind}-{recipe}"
    if finished.exists():
        os.utime(finished)
        return finished
    with locked(CACHE / "locks" / kind):
        if not finished.exists():
            _make(finished, make)
    return finished


def _make(finished: Path, make: Callable[[Path], None]) -> None:
    unfinished = finished.with_name(finished.name + ".unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    say(f"sandbox: making {finished.name}")
    begun = time.monotonic()
    make(unfinished)
    unfinished.rename(finished)
    say(f"sandbox: made {finished.name} in {time.monotonic() - begun:.0f} s")


def forget_old(kind: str, days: float) -> None:
    """Delete items of `kind` that nobody has asked for in `days`."""
    for item in CACHE.glob(f"{kind}-*"):
        if item.stat().st_mtime < time.time() - days * 86400:
            shutil.rmtree(item, ignore_errors=True)

"""Whether only root can change what root runs."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path


def changeable_by_others(path: Path) -> str:
    """The first part of `path`, links followed, that others than root can change, in words; empty if there is none."""
    for one in _parts(path):
        try:
            fault = _fault(one.lstat())
        except OSError:
            continue  # a user may not look at everything; root's own check does
        if fault:
            return f"{one} {fault}"
    return ""


def _fault(status: os.stat_result) -> str:
    if status.st_uid != 0:
        return f"belongs to uid {status.st_uid}"
    others = 0o002 if status.st_gid == 0 else 0o022
    # A link's mode means nothing; in a sticky directory, such as /tmp, others cannot replace what root has put there.
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX or not status.st_mode & others:
        return ""
    return f"has mode {stat.S_IMODE(status.st_mode):04o} and group {status.st_gid}"


def _parts(path: Path) -> Iterator[Path]:
    """Outermost first, of the name and of what it leads to."""
    named, real = path.absolute(), path.resolve()
    for one in dict.fromkeys([named, real]):
        yield from reversed(one.parents)
        yield one

"""A tree on disk as values that can be compared."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any


def tree_of(root: Path) -> dict[str, tuple[Any, ...]]:
    """What can be seen of each path: type, mode, owner, time, links to it, content and attributes."""
    found = {}
    for folder_, names, files in os.walk(os.fsencode(root)):
        for name in [b".", *names, *files]:
            path = os.path.join(folder_, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            kept = [key for key in _names_of_attributes(path) if key.startswith("user.")]
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in kept if "umoci" not in key}
            mode = status.st_mode & ~0o6000
            links = status.st_nlink if stat.S_ISREG(status.st_mode) else 0
            relative = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
            # The root's own time is mksquashfs's, see squash.py.
            mtime = 0 if relative == "." else int(status.st_mtime)
            found[relative] = (oct(mode), status.st_uid, status.st_gid, mtime, links, content, attributes)
    return found


def _names_of_attributes(path: bytes) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # a squashfs in which no file has any
            raise
        return []

"""Where a path of the container's leads through the symlinks of an image.

The image is a read-only file system that nobody can change under us, so walking it by hand is no race; it finds an
end for dangling links too, which openat2(2) does not.
"""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection

_MOST_LINKS = 40  # as the kernel: ELOOP


def resolve_in_image(image: int, path: str, mounted: Collection[str] = ()) -> str:
    """The path, with every symlink of the image in it followed within the image; its end need not be there.

    `image` is a descriptor of the image's root. What lies at or below a path in `mounted` is hidden, so no link is
    there. Raises UserError for a loop of links.
    """
    todo = list(reversed(PurePosixPath(path).parts[1:]))
    done: list[str] = []
    links = hidden_from = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = "/".join([*done, part])
        if not hidden_from or hidden_from > len(done):  # else a mount hides it, unless .. has led out of there
            hidden_from = len(done) + 1 if f"/{here}" in mounted else 0
        link = None if hidden_from else _link_at(image, here)
        if link is None:
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UserError(f"{path} leads through too many symbolic links of the image", hint="choose another target")
        todo += [step for step in reversed(PurePosixPath(link).parts) if step != "/"]
        done = [] if link.startswith("/") else done
    return "/" + "/".join(done)


def _link_at(image: int, relative: str) -> str | None:
    status = status_in_image(image, relative)
    if status is None or not stat.S_ISLNK(status.st_mode):
        return None
    return os.readlink(relative, dir_fd=image)


def status_in_image(image: int, resolved: str) -> os.stat_result | None:
    """lstat(2) of a path that `resolve_in_image` gave; None where the image has nothing."""
    try:
        return os.stat(resolved.lstrip("/") or ".", dir_fd=image, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None

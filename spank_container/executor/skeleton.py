"""The skeleton: the mount points and the generated files, on a tmpfs that is laid over the image."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.executor.places import on_the_root
from spank_container.kernel.image_paths import resolve_in_image, status_in_image
from spank_container.plan.identity import hostsfile
from spank_container.plan.ops import MakeSymlink, WriteFile, WriteHostsFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spank_container.executor.places import Place
    from spank_container.plan.ops import InsideOp

_IMAGES_FAULT = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}


def make_skeleton(ops: Sequence[InsideOp], places: Mapping[str, Place], skeleton: int, image: int) -> None:
    """Make all of it below the descriptor `skeleton`; no path is looked up but there and in the image."""
    for op in ops:
        match op:
            case WriteFile() | WriteHostsFile() | MakeSymlink():
                with _images_links(op.describe()):
                    _make(op, skeleton, image)
            case _:
                continue
    for place in on_the_root(places):
        with _images_links(f"make a place for {place.target}"):
            _make_mount_point(place, skeleton, image)


@contextlib.contextmanager
def _images_links(doing: str) -> Iterator[None]:
    """What the image's own links make impossible is not the node's fault."""
    try:
        yield
    except OSError as error:
        if error.errno not in _IMAGES_FAULT:
            raise NodeError.from_os_error(doing, error) from error
        raise UserError(
            f"{doing}: {os.strerror(error.errno or 0)}, where the links of this image lead",
            hint="the image has to be built again",
        ) from error


def _make(op: WriteFile | WriteHostsFile | MakeSymlink, skeleton: int, image: int) -> None:
    pure = PurePosixPath(op.path)
    folder = PurePosixPath(resolve_in_image(image, str(pure.parent))).relative_to("/")
    _make_directories(skeleton, image, folder)
    path = str(folder / pure.name)
    match op:
        case WriteFile():
            _make_file(skeleton, path, op.content)
        case WriteHostsFile():
            _make_file(skeleton, path, hostsfile(op.hosts))
        case MakeSymlink():
            os.symlink(op.to, path, dir_fd=skeleton)


def _make_mount_point(place: Place, skeleton: int, image: int) -> None:
    path = PurePosixPath(place.path).relative_to("/")
    if place.directory:
        _make_directories(skeleton, image, path)
    else:
        _make_directories(skeleton, image, path.parent)
        _make_file(skeleton, str(path), "")


def _make_directories(skeleton: int, image: int, path: PurePosixPath) -> None:
    """Folders that the image has keep its owner and mode, since the skeleton's hide them."""
    for folder in [*reversed(path.parents), path]:
        name = str(folder)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=skeleton)
            known = status_in_image(image, name)
            if known and stat.S_ISDIR(known.st_mode):
                os.chown(name, known.st_uid, known.st_gid, dir_fd=skeleton)
                os.chmod(name, stat.S_IMODE(known.st_mode) & 0o1777, dir_fd=skeleton)


def _make_file(skeleton: int, path: str, content: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o644, dir_fd=skeleton), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(content)

"""Where in the container each mount lands: through the image's links, and on other mounts, where its place is made.

On the root a place is part of the skeleton. On another mount it is made when that is there, always as the user: on the
job's own /tmp and cache that works, on a folder of the user's where the user may, on a read-only one never.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.kernel import mounts
from spank_container.kernel.credentials import acting_as
from spank_container.kernel.image_paths import resolve_in_image
from spank_container.plan.ops import MakeMountPoint
from spank_container.values.volume import is_protected

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from spank_container.kernel.credentials import Credentials
    from spank_container.plan.ops import InsideOp

_USERS_FAULT = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EDQUOT,
}


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked for at `target` lands at `path`, in which no link of the image is left."""

    target: str
    path: str
    directory: bool
    by_user: bool


def find_places(ops: Sequence[InsideOp], sources: Mapping[str, int], image: int) -> dict[str, Place]:
    """The places of all mounts that there will be, by target, parents first.

    Where two lead to one place the user's wins, as on /tmp; raises UserError when both are the user's.
    """
    found: dict[str, Place] = {}
    for op in ops:
        if isinstance(op, MakeMountPoint) and (op.directory is not None or op.target in sources):
            place = _place(op, sources, image, found.keys())
            rival = found.setdefault(place.path, place)
            if place.by_user and rival is not place:
                found[place.path] = _winner(rival, place)
    return {place.target: place for place in sorted(found.values(), key=lambda one: PurePosixPath(one.path).parts)}


def _place(op: MakeMountPoint, sources: Mapping[str, int], image: int, mounted: Collection[str]) -> Place:
    pure = PurePosixPath(op.target)
    if op.follow:
        path = resolve_in_image(image, op.target, mounted)
    else:
        path = str(PurePosixPath(resolve_in_image(image, str(pure.parent), mounted)) / pure.name)
    if op.by_user:
        _refuse_protected(op.target, path, "in this image")
    directory = op.directory
    if directory is None:
        directory = stat.S_ISDIR(os.fstat(sources[op.target]).st_mode)
    return Place(op.target, path, directory, op.by_user)


def _winner(rival: Place, place: Place) -> Place:
    if rival.by_user:
        raise UserError(
            f"--volume: {rival.target} and {place.target} lead in this image to the same place, {place.path}",
            hint="give each volume a target of its own",
        )
    return place


def _refuse_protected(target: str, path: str, where: str) -> None:
    if is_protected(path):
        raise UserError(
            f"--volume: {target} leads {where} to {path}, which belongs to the container itself",
            hint="choose another target",
        )


def on_the_root(places: Mapping[str, Place]) -> list[Place]:
    """Those that lie on no other mount."""
    paths = {place.path for place in places.values()}
    return [place for place in places.values() if not _is_below_any(place.path, paths)]


def _is_below_any(path: str, paths: Collection[str]) -> bool:
    while path := path.rpartition("/")[0]:
        if path in paths:
            return True
    return False


def attach(tree: int, root: int, place: Place, owner: Credentials) -> None:
    """Mount `tree` there; what the place lacks is made as `owner`. Raises UserError where that cannot be."""
    try:
        with mounts.closing(_open_place(root, place, owner)) as spot:
            if place.by_user:  # on a volume of theirs users may put a link, and swap it at any time
                where = "through a link on another volume"
                _refuse_protected(place.target, mounts.path_inside(root, spot), where)
            _check_kind(spot, place)
            mounts.move(tree, spot)
    except OSError as error:
        if error.errno not in _USERS_FAULT:
            raise NodeError.from_os_error("mounting in the container", error, place.target) from error
        asked = "--volume: " if place.by_user else ""
        raise UserError(
            f"{asked}nothing can be mounted at {place.target}: {os.strerror(error.errno or 0)}",
            hint="on another volume you must be able to make the place, and a file needs a file, a folder a folder",
        ) from error


def _check_kind(spot: int, place: Place) -> None:
    """move_mount(2) would say EINVAL, which may be anything."""
    if stat.S_ISDIR(os.fstat(spot).st_mode) != place.directory:
        number = errno.ENOTDIR if place.directory else errno.EISDIR
        raise OSError(number, os.strerror(number))


def _open_place(root: int, place: Place, owner: Credentials) -> int:
    try:
        return mounts.open_inside(root, place.path)
    except (FileNotFoundError, PermissionError):  # root, too, may look nowhere: NFS knows it as nobody
        return _make_place(root, place, owner)


def _make_place(root: int, place: Place, owner: Credentials) -> int:
    """Step by step and through no link: who owns a folder may swap what is in it at any time."""
    *folders, name = PurePosixPath(place.path).parts[1:]
    here = os.dup(root)
    for folder in folders:
        with mounts.closing(here):
            here = _step(here, folder, owner, directory=True)
    with mounts.closing(here):
        return _step(here, name, owner, directory=place.directory)


def _step(folder: int, name: str, owner: Credentials, *, directory: bool) -> int:
    try:
        return mounts.open_step(folder, name)
    except (FileNotFoundError, PermissionError):
        with acting_as(owner):
            with contextlib.suppress(FileExistsError):
                _make(folder, name, directory=directory)
            return mounts.open_step(folder, name)


def _make(folder: int, name: str, *, directory: bool) -> None:
    if directory:
        os.mkdir(name, 0o755, dir_fd=folder)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o644, dir_fd=folder))

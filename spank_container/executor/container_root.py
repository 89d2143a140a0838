"""Inside the new namespace: the skeleton, the overlay over the image, and the mounts on it.

The skeleton is a tmpfs with the mount points and the generated files; laid over the image it becomes the root. No path
of the image's or of a user's is looked up but below the new root.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.kernel import mounts
from spank_container.kernel.credentials import Credentials, acting_as
from spank_container.kernel.image_paths import resolve_in_image, status_in_image
from spank_container.plan.ops import (
    AttachScratch,
    Bind,
    MakeMountPoint,
    MakeSymlink,
    MountRoot,
    MountTmpfs,
    WriteFile,
)
from spank_container.values.volume import is_protected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spank_container.plan.ops import InsideOp

_USERS_FAULT = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
_IMAGES_FAULT = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}


def open_sources(ops: Sequence[InsideOp]) -> dict[str, int]:
    """Detached mounts of everything that is bound, by target; an optional source out of reach is left out.

    Raises UserError for a user's source that the user cannot reach, or that is neither a folder nor a file.
    """
    sources: dict[str, int] = {}
    for op in ops:
        if isinstance(op, Bind):
            try:
                sources[op.target] = _open_source(op)
            except UserError:
                if not op.optional:
                    raise
    return sources


def _open_source(op: Bind) -> int:
    try:
        with mounts.closing(_open_as_owner(op)) as source:
            mode = os.fstat(source).st_mode
            if op.owner and not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise UserError(f"--volume: {op.source} is neither a folder nor a file", hint="name a folder or a file")
            attributes = mounts.HARMLESS if not op.devices else 0
            return mounts.clone_tree(source, attributes=attributes | (mounts.READ_ONLY if op.read_only else 0))
    except OSError as error:
        if op.owner and error.errno in _USERS_FAULT:
            raise unreachable(op.source, error) from error
        raise NodeError.from_os_error("binding into the container", error, op.source) from error


def unreachable(path: str, error: OSError) -> UserError:
    """The refusal of a volume's source, at submit and on the node alike."""
    reason = os.strerror(error.errno or 0)
    return UserError(f"--volume: {path}: {reason}", hint="check the path, and that you may read it")


def _open_as_owner(op: Bind) -> int:
    if not op.owner:
        return os.open(op.source, os.O_PATH | os.O_CLOEXEC)
    uid, gid, *groups = op.owner
    with acting_as(Credentials(uid, gid, tuple(groups))):
        return open_readable(op.source)


def open_readable(path: str) -> int:
    """An O_PATH descriptor for what the acting user may use: read a file, enter a folder."""
    try:
        # With /. at its end the kernel mounts what automount has there, which O_PATH alone does not; open(2).
        source = mounts.open_no_magic(f"{path}/.", os.O_PATH)
    except NotADirectoryError:
        source = mounts.open_no_magic(path, os.O_PATH)
    needed = os.X_OK if stat.S_ISDIR(os.fstat(source).st_mode) else os.R_OK
    if not os.access(f"/proc/self/fd/{source}", needed, effective_ids=True):
        os.close(source)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return source


def build_root(ops: Sequence[InsideOp], sources: Mapping[str, int], image: str, place: str) -> int:
    """Apply the operations in order; returns a descriptor of the new root, which is mounted at `place`."""
    skeleton = mounts.new_filesystem("tmpfs", {"mode": "0755"})
    mounts.attach(skeleton, place)
    image_root = os.open(image, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    root = -1
    for op in ops:
        match op:
            case MakeMountPoint() | WriteFile() | MakeSymlink():
                _make(op, sources, skeleton, image_root)
            case MountRoot():
                root = mounts.new_filesystem("overlay", _overlay(place, image), mounts.HARMLESS | mounts.READ_ONLY)
                mounts.attach(root, place)
            case Bind():
                if op.target in sources:
                    _attach(sources[op.target], root, op.target, by_user=bool(op.owner) and not op.optional)
            case AttachScratch():
                _attach(sources[op.name], root, op.target, by_user=True)
            case MountTmpfs():
                options = {"size": op.size, "mode": f"{op.mode:o}"}
                with mounts.closing(mounts.new_filesystem("tmpfs", options)) as tree:
                    _attach(tree, root, op.target)
    return root


def _make(op: MakeMountPoint | WriteFile | MakeSymlink, sources: Mapping[str, int], skeleton: int, image: int) -> None:
    """One piece of the skeleton. What the image's own links make impossible is not the node's fault."""
    try:
        match op:
            case MakeMountPoint():
                _make_mount_point(op, sources, skeleton, image)
            case WriteFile():
                _make_file(skeleton, _skeleton_path(skeleton, image, op.path, follow=False), op.content)
            case MakeSymlink():
                os.symlink(op.to, _skeleton_path(skeleton, image, op.path, follow=False), dir_fd=skeleton)
    except OSError as error:
        if error.errno not in _IMAGES_FAULT:
            raise NodeError.from_os_error(op.describe(), error) from error
        raise UserError(
            f"{op.describe()}: {os.strerror(error.errno or 0)}, where the links of this image lead",
            hint="the image has to be built again",
        ) from error


def _overlay(skeleton: str, image: str) -> dict[str, str | None]:
    """No attribute in an image shall steer the overlay: redirects and metacopy are for layers of its own making."""
    return {"lowerdir": f"{skeleton}:{image}", "redirect_dir": "nofollow", "metacopy": "off", "ro": None}


def _make_mount_point(op: MakeMountPoint, sources: Mapping[str, int], skeleton: int, image: int) -> None:
    directory = op.directory
    if directory is None:
        if op.target not in sources:
            return  # an optional source that is out of reach
        directory = stat.S_ISDIR(os.fstat(sources[op.target]).st_mode)
    path = _skeleton_path(skeleton, image, op.target, follow=op.follow)
    if op.by_user:
        _refuse_protected(op.target, f"/{path}", "in this image")
    if directory:
        _make_directories(skeleton, image, PurePosixPath(path))
    else:
        _make_file(skeleton, path, "")


def _skeleton_path(skeleton: int, image: int, path: str, *, follow: bool) -> str:
    """`path` relative to the root, through the image's symlinks; its parents are made."""
    pure = PurePosixPath(path)
    if follow:
        resolved = PurePosixPath(resolve_in_image(image, path))
    else:
        resolved = PurePosixPath(resolve_in_image(image, str(pure.parent))) / pure.name
    relative = resolved.relative_to("/")
    _make_directories(skeleton, image, relative.parent)
    return str(relative)


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


def _refuse_protected(target: str, path: str, where: str) -> None:
    if is_protected(path):
        raise UserError(
            f"--volume: {target} leads {where} to {path}, which belongs to the container itself",
            hint="choose another target",
        )


def _attach(tree: int, root: int, target: str, *, by_user: bool = False) -> None:
    try:
        with mounts.closing(mounts.open_inside(root, target)) as place:
            if by_user:  # on a volume of theirs users may put a link, and swap it at any time
                _refuse_protected(target, mounts.path_inside(root, place), "through a link on another volume")
            mounts.move(tree, place)
    except OSError as error:
        if error.errno in _USERS_FAULT:
            reason = os.strerror(error.errno or 0)
            raise UserError(
                f"--volume: nothing can be mounted at {target}: {reason}",
                hint="a target on another volume must be there already, and be a folder where the source is one",
            ) from error
        raise NodeError.from_os_error("mounting in the container", error, target) from error

"""Mounts by descriptor: what is mounted, and where, is held open and never looked up twice."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from spank_container.errors import NodeError
from spank_container.kernel import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HARMLESS = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
READ_ONLY = syscalls.MOUNT_ATTR_RDONLY


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def new_filesystem(filesystem: str, options: Mapping[str, str | None], attributes: int = HARMLESS) -> int:
    """A descriptor for a new, detached mount; an option without a value is a flag.

    `source` is a device's path; mounts without one carry our name there, for whoever reads mountinfo.

    Raises NodeError with what the kernel itself says of the reason, where it says any.
    """
    try:
        context = syscalls.fsopen(filesystem)
    except OSError as error:
        raise NodeError.from_os_error(f"the kernel has no {filesystem}", error) from error
    with closing(context):
        try:
            for key, value in {"source": "spank-container", **options}.items():
                command = syscalls.FSCONFIG_SET_FLAG if value is None else syscalls.FSCONFIG_SET_STRING
                syscalls.fsconfig(context, command, key, value)
            syscalls.fsconfig(context, syscalls.FSCONFIG_CMD_CREATE)
            return syscalls.fsmount(context, attributes)
        except OSError as error:
            raise NodeError.from_os_error(f"mounting {filesystem}{_kernel_log(context)}", error) from error


def _kernel_log(context: int) -> str:
    """What the kernel logged to the context: lines such as `e overlay: No upper`; fsopen(2)."""
    lines: list[str] = []
    with contextlib.suppress(OSError):  # ENODATA when all is read
        while True:
            lines.append(os.read(context, 4096).decode(errors="replace").strip()[2:])
    return f" ({'; '.join(lines)})" if lines else ""


def clone_tree(descriptor: int, path: str = "", *, attributes: int = HARMLESS) -> int:
    """A detached, recursive and private copy of the mount tree at an open O_PATH descriptor, or at `path` below it."""
    flags = syscalls.AT_SYMLINK_NOFOLLOW if path else syscalls.AT_EMPTY_PATH
    tree = syscalls.open_tree(descriptor, path, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE | flags)
    try:
        syscalls.mount_setattr(tree, attr_set=attributes, propagation=syscalls.MS_PRIVATE, recursive=True)
    except OSError:
        os.close(tree)
        raise
    return tree


def open_inside(root: int, path: str) -> int:
    """An O_PATH descriptor for `path` seen from `root`: no symlink in it, and none that is swapped in, leads out."""
    relative = path.lstrip("/") or "."
    resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(root, relative, os.O_PATH, resolve)


def open_step(folder: int, name: str) -> int:
    """An O_PATH descriptor of `name` in `folder`, or of what is mounted there; ELOOP where it is a symlink."""
    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(folder, name, os.O_PATH, resolve)


def path_inside(root: int, place: int) -> str:
    """Where `place`, which `open_inside` gave, lies below the mount `root`: what was opened, whatever is there now."""
    top, path = (os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in (root, place))
    return path.removeprefix(top) or "/"


def open_no_magic(path: str, flags: int) -> int:
    """open(2), but never through one of /proc's magic links.

    These name files of the process that looks, which here is root's, past every folder's permissions: /proc/self/cwd
    as the source of a volume would be slurmd's working directory (runc CVE-2024-21626).
    """
    return syscalls.openat2(syscalls.AT_FDCWD, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)


def open_without_links(path: str, flags: int) -> int:
    """open(2), but ELOOP where any part of the path is a symlink."""
    resolve = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(syscalls.AT_FDCWD, path, flags, resolve)


def bind(source: str, target: str) -> None:
    """Bind one file on another, in this namespace: for the pin, which mount(2) and nsfs want by path."""
    with closing(syscalls.open_tree(syscalls.AT_FDCWD, source, syscalls.OPEN_TREE_CLONE)) as tree:
        attach(tree, target)


def move(mount: int, place: int) -> None:
    """Attach a detached mount on what the descriptor `place` holds."""
    syscalls.move_mount(mount, place)


def attach(mount: int, target: str) -> None:
    """Attach a detached mount at a path that only root can change."""
    with closing(os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)) as place:
        move(mount, place)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted on `path` itself; false where there is no such path."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return any(line.split(" ", 5)[4] == path for line in mounts)


def filesystem_type(descriptor: int) -> str:
    """As mountinfo has it: ext4, nfs4, fuse.sshfs."""
    return _mountinfo(descriptor)[1]


def fuse_server(descriptor: int) -> int:
    """The uid of who serves the FUSE file system that the open file is on; 0 for root, and for every other kind."""
    _, kind, options = _mountinfo(descriptor)
    found = [option for option in options.split(",") if option.startswith("user_id=")]
    return int(found[0].removeprefix("user_id=")) if kind.startswith("fuse") and found else 0


def _mountinfo(descriptor: int) -> tuple[str, str, str]:
    """Where it is mounted, the type and the options of the file system that the open file is on; proc(5)."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        number = next(line.split()[1] for line in info if line.startswith("mnt_id:"))
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        line = next(line for line in mounts if line.split(" ", 1)[0] == number)
    front, _, back = line.partition(" - ")
    kind, _, options = back.split(" ", 2)
    return front.split(" ")[4], kind, options.strip()


def unmount(path: str) -> None:
    """Detach everything that is mounted on `path`; nothing mounted, or no such path, is no error."""
    while is_mount_point(path):
        syscalls.umount2(path, syscalls.MNT_DETACH)

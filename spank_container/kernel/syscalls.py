"""The system calls that Python lacks, under their man-page names; the only ctypes.

Numbers are given where glibc has no wrapper on the oldest systems that we serve: from 424 on they are the same on
every architecture. Every failure is an OSError with the errno of the call.
"""

from __future__ import annotations

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.unshare.argtypes = [ctypes.c_int]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MNT_DETACH = 2

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_IDMAP = 0x00100000
MS_PRIVATE = 1 << 18

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_SYS_open_tree = 428
_SYS_move_mount = 429
_SYS_fsopen = 430
_SYS_fsconfig = 431
_SYS_fsmount = 432
_SYS_openat2 = 437
_SYS_mount_setattr = 442
_SYS_pivot_root = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


def _call(number: int, *arguments: int | bytes | None) -> int:
    converted = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *converted))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags))


def setns(namespace: int, kind: int) -> None:
    _checked(_libc.setns(namespace, kind))


def umount2(path: str, flags: int = 0) -> None:
    _checked(_libc.umount2(os.fsencode(path), flags))


def fallocate(descriptor: int, size: int) -> None:
    """Not os.posix_fallocate, which writes zeros where the file system cannot reserve."""
    _checked(_libc.fallocate(descriptor, 0, 0, size))


def pivot_root(new_root: str, put_old: str) -> None:
    _call(_SYS_pivot_root[os.uname().machine], os.fsencode(new_root), os.fsencode(put_old))


def open_tree(directory: int, path: str, flags: int) -> int:
    """A descriptor for the mount at `path`; with OPEN_TREE_CLONE for a detached copy of it."""
    return _call(_SYS_open_tree, directory, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)


def move_mount(mount: int, target: int) -> None:
    """Attach the mount that descriptor `mount` holds on what descriptor `target` holds."""
    _call(_SYS_move_mount, mount, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def mount_setattr(
    mount: int, *, attr_set: int = 0, propagation: int = 0, userns: int = 0, recursive: bool = False, path: str = ""
) -> None:
    """`userns` is a descriptor of the user namespace by which MOUNT_ATTR_IDMAP maps."""
    attributes = struct.pack("=4Q", attr_set, 0, propagation, userns)
    flags = (0 if path else AT_EMPTY_PATH) | (AT_RECURSIVE if recursive else 0)
    _call(_SYS_mount_setattr, mount, os.fsencode(path), flags, attributes, len(attributes))


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, 0, resolve)
    return _call(_SYS_openat2, directory, os.fsencode(path), how, len(how))


def fsopen(filesystem: str) -> int:
    return _call(_SYS_fsopen, filesystem.encode(), FSOPEN_CLOEXEC)


def fsconfig(context: int, command: int, key: str | None = None, value: str | None = None) -> None:
    _call(
        _SYS_fsconfig,
        context,
        command,
        None if key is None else key.encode(),
        None if value is None else os.fsencode(value),
        0,
    )


def fsmount(context: int, attributes: int) -> int:
    """A descriptor for a detached mount of the file system that `context` configured."""
    return _call(_SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes)

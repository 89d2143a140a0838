"""Loop devices that free themselves.

A device is made with autoclear, so the kernel detaches it when its last user goes: this process's descriptor first,
the mount later. A crash at any instruction therefore leaves no device behind. See loop(4).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_LOOP_MAJOR = 7
_TRIES = 64
# What becomes of a free number before we have it: another process configured the device, or let go of it just now.
_TAKEN = {errno.EBUSY, errno.ENXIO}

# struct loop_config: fd, block_size, struct loop_info64, 8 reserved words.
# struct loop_info64: device, inode, rdevice, offset, sizelimit; number, encrypt_type, encrypt_key_size, flags;
# file_name[64], crypt_name[64], encrypt_key[32], init[2].
_LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s 64s 32s 2Q 64x")


def backing_file(device: str) -> str:
    """What the device at this path has attached, as the kernel names it; empty when nothing."""
    try:
        return (
            Path(f"/sys/block/{os.path.basename(device)}/loop/backing_file").read_text(errors="surrogateescape").strip()
        )
    except OSError:  # ENOENT, or ENXIO when it is let go just now
        return ""


@contextlib.contextmanager
def attached(backing: int, *, read_only: bool, block_size: int = 0) -> Iterator[str]:
    """The path of a loop device over the open file `backing`, alive for the block and for what is mounted from it.

    Direct I/O is used where the file system under the file can do it: pages are then not cached twice.
    """
    device = _configured(backing, read_only=read_only, block_size=block_size)
    try:
        yield os.readlink(f"/proc/self/fd/{device}")
    finally:
        os.close(device)


def _configured(backing: int, *, read_only: bool, block_size: int) -> int:
    for _ in range(_TRIES):
        try:
            return _claimed(backing, read_only=read_only, block_size=block_size)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise NodeError.from_os_error("attaching a loop device", error, error.filename or "") from error
    raise NodeError(f"attaching a loop device: other processes were faster {_TRIES} times")


def _claimed(backing: int, *, read_only: bool, block_size: int) -> int:
    device = os.open(_device_node(_free_number()), (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        _configure(device, backing, read_only=read_only, block_size=block_size)
    except OSError:
        os.close(device)
        raise
    return device


def _free_number() -> int:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


def _device_node(number: int) -> str:
    """udev makes the node of a new device a moment after the kernel made the device, if there is udev at all."""
    path = f"/dev/loop{number}"
    with contextlib.suppress(FileExistsError):
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return path


def _configure(device: int, backing: int, *, read_only: bool, block_size: int) -> None:
    flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY if read_only else 0)
    try:
        _loop_configure(device, backing, flags | _LO_FLAGS_DIRECT_IO, block_size)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: the file system under the file has no direct I/O
            raise
        _loop_configure(device, backing, flags, block_size)


def _loop_configure(device: int, backing: int, flags: int, block_size: int) -> None:
    name = os.readlink(f"/proc/self/fd/{backing}").encode(errors="surrogateescape")[:63]
    config = _LOOP_CONFIG.pack(backing, block_size, 0, 0, 0, 0, 0, 0, 0, 0, flags, name, b"", b"", 0, 0)
    fcntl.ioctl(device, _LOOP_CONFIGURE, config)

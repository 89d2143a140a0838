"""A tar stream as mksquashfs wants it: POSIX.1-2001, names as bytes, owners as numbers.

A header from a layer is never passed on as it is: mksquashfs looks the names of owners up on this machine, and reads
other fields in ways of its own. Content is passed on without a copy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from zlib import adler32

from spank_container.images.members import Kind, Member, encode
from spank_container.images.tar_fields import BLOCK, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TYPES = {Kind.FILE: b"0", Kind.DIRECTORY: b"5", Kind.SYMLINK: b"2", Kind.FIFO: b"6", Kind.HARD_LINK: b"1"}
_LARGEST_ID = 0o7777777
_LARGEST_SIZE = 0o77777777777
_LARGEST_NAME = 100
_BATCH = 1 << 20  # as much as a pipe may hold
_MOST_BUFFERS = 1024  # IOV_MAX


class TarWriter:
    """The stream, into the descriptor of a pipe or file; `on_batch` is told of every megabyte."""

    def __init__(self, fd: int, on_batch: Callable[[], None] = lambda: None) -> None:
        self._fd = fd
        self._on_batch = on_batch
        self._waiting: list[bytes | memoryview] = []
        self._size = 0

    def entry(self, member: Member) -> None:
        """What has no content."""
        self._write(tar_header(member))

    def file(self, member: Member, content: Iterable[bytes | memoryview]) -> None:
        self._write(tar_header(member))
        for piece in content:
            self._write(piece)
        if rest := padding(member.size):
            self._write(bytes(rest))

    def end(self) -> None:
        self._write(bytes(2 * BLOCK))
        self._flush()

    def _write(self, data: bytes | memoryview) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _BATCH or len(self._waiting) == _MOST_BUFFERS:
            self._flush()

    def _flush(self) -> None:
        self._on_batch()
        while (left := self._size - os.writev(self._fd, self._waiting)) > 0:  # a signal, or a full disk
            self._waiting = [b"".join(self._waiting)[-left:]]
            self._size = left
        self._waiting.clear()
        self._size = 0


def tar_header(member: Member) -> bytes:
    """The header of `member`, with an extended one before it where a field is too small."""
    name = encode(member.path) + (b"/" if member.kind is Kind.DIRECTORY else b"")
    link = encode(member.target)
    header = _block(member, name, link, _TYPES[member.kind])
    fits = len(name) <= _LARGEST_NAME and len(link) <= _LARGEST_NAME and member.size <= _LARGEST_SIZE
    if fits and member.uid <= _LARGEST_ID and member.gid <= _LARGEST_ID and not member.xattrs:
        return header
    return _extended_header(member, name, link) + header


def _extended_header(member: Member, name: bytes, link: bytes) -> bytes:
    """Of all that has no room in the header itself."""
    records = [(b"SCHILY.xattr." + key, value) for key, value in member.xattrs]
    texts = ((b"path", name), (b"linkpath", link))
    numbers = ((b"uid", member.uid), (b"gid", member.gid))
    records += [(key, value) for key, value in texts if len(value) > _LARGEST_NAME]
    records += [(key, b"%d" % value) for key, value in numbers if value > _LARGEST_ID]
    records += [(b"size", b"%d" % member.size)] if member.size > _LARGEST_SIZE else []
    data = b"".join(_record(key, value) for key, value in records)
    return _block(Member("", Kind.FILE, size=len(data)), b"extended", b"", b"x") + data + bytes(padding(len(data)))


def _record(key: bytes, value: bytes) -> bytes:
    """LENGTH KEY=VALUE, where LENGTH counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _block(member: Member, name: bytes, link: bytes, kind: bytes) -> bytes:
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:_LARGEST_NAME].ljust(_LARGEST_NAME, b"\0"),
        member.mode,
        min(member.uid, _LARGEST_ID),
        min(member.gid, _LARGEST_ID),
        min(member.size, _LARGEST_SIZE),
        member.mtime,
    )
    after = kind + link[:_LARGEST_NAME].ljust(_LARGEST_NAME, b"\0") + b"ustar\x0000"
    # The low half of Adler-32 is the sum of the bytes, plus one, as long as it is less than 65521; ours cannot be more.
    checksum = (adler32(before + after) & 0xFFFF) - 1 + 8 * ord(" ")
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0")

"""One tar header as mksquashfs wants it: POSIX.1-2001, names as bytes.

tarfile is not used for this: it marks a name that is not UTF-8 with a keyword that mksquashfs does not know.
"""

from __future__ import annotations

from spank_container.images.members import Kind, Member

BLOCK = 512
END = bytes(2 * BLOCK)
_TYPES = {Kind.FILE: b"0", Kind.DIRECTORY: b"5", Kind.SYMLINK: b"2", Kind.FIFO: b"6", Kind.HARD_LINK: b"1"}
_LARGEST_ID = 0o7777777
_LARGEST_SIZE = 0o77777777777


def tar_header(member: Member) -> bytes:
    """The header of `member`, with an extended one before it where a field is too small."""
    name = _raw(member.path) + (b"/" if member.kind is Kind.DIRECTORY else b"")
    link = _raw(member.target)
    size = member.content.size
    records = [(b"SCHILY.xattr." + _raw(key), _raw(value)) for key, value in member.xattrs]
    records += [(key, value) for key, value in ((b"path", name), (b"linkpath", link)) if len(value) > 100]
    records += [
        (key, b"%d" % number) for key, number in ((b"uid", member.uid), (b"gid", member.gid)) if number > _LARGEST_ID
    ]
    records += [(b"size", b"%d" % size)] if size > _LARGEST_SIZE else []
    header = _block(member, name[:100], link[:100], _TYPES[member.kind], size)
    if not records:
        return header
    data = b"".join(_record(key, value) for key, value in records)
    return _block(Member("", Kind.FILE), b"extended", b"", b"x", len(data)) + data + padding(len(data)) + header


def padding(size: int) -> bytes:
    """What fills the last block of `size` bytes."""
    return bytes(-size % BLOCK)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _record(key: bytes, value: bytes) -> bytes:
    """LENGTH KEY=VALUE, where LENGTH counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _block(member: Member, name: bytes, link: bytes, kind: bytes, size: int) -> bytes:
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(100, b"\0"),
        member.mode,
        min(member.uid, _LARGEST_ID),
        min(member.gid, _LARGEST_ID),
        min(size, _LARGEST_SIZE),
        member.mtime,
    )
    after = kind + link.ljust(100, b"\0") + b"ustar\x0000"
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0")

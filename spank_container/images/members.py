"""The members of one layer, each checked: what strangers put into headers becomes values that are safe to use.

A member that could mean something outside the tree, or that the kernel could not hold, is refused with its name.
Nothing is unpacked, so a name is never looked up on this machine. Setuid and setgid bits end here, and all extended
attributes but user.*: security.* carries file capabilities, trusted.* steers overlayfs, squashfs has no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from spank_container.images.layers import LayerError
from spank_container.images.tar_fields import zeros
from spank_container.images.tar_reader import read_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.layers import LayerStream
    from spank_container.images.sparse import Extents
    from spank_container.images.tar_fields import Record
    from spank_container.images.tar_reader import Header

_NAME_MAX = 255
_PATH_MAX = 4095
_LATEST = 2**32 - 1  # squashfs holds a time in 32 bits without a sign
_LARGEST_ID = 2**32 - 2  # -1 is nobody's, see chown(2)
_LARGEST_XATTR = 65536  # xattr(7)


class Kind(Enum):
    """What a member is, as far as the tree must know."""

    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    FIFO = auto()
    HARD_LINK = auto()
    DEVICE = auto()


_KINDS = {
    b"0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"5": Kind.DIRECTORY,
    b"2": Kind.SYMLINK,
    b"6": Kind.FIFO,
    b"1": Kind.HARD_LINK,
    b"3": Kind.DEVICE,
    b"4": Kind.DEVICE,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a layer. `path` has no leading or trailing slash, and is empty for the root; bytes that are not
    UTF-8 are lone surrogates. `target` is a symbolic link's text or a hard link's path.

    A file has `size` bytes, where `extents` (offset in the file, length) follow each other in the layer's uncompressed
    stream from `start` on, and all between them is holes."""

    path: str
    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    target: str = ""
    size: int = 0
    start: int = 0
    extents: Extents = ()
    xattrs: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Whiteout:
    """What is at and below `path` in the layers below goes; of an `opaque` directory only what is below."""

    path: str
    opaque: bool = False


def read_members(stream: LayerStream) -> Iterator[Member | Whiteout]:
    """All of the layer, in its order; LayerError when it is no sound tar archive, or not the layer that it should be.

    When a file comes, the stream is where its content begins.
    """
    for header in read_headers(stream):
        path = _path(header.name)
        found = _unless_special(path, header) if ".wh." in path else _member(path, header)
        if found:
            yield found
    stream.drain()


def content(stream: LayerStream, member: Member) -> Iterator[bytes | memoryview]:
    """The bytes of a file, with its holes, from a stream that is not beyond them."""
    stream.skip(member.start - stream.position)
    position = stored = 0
    for offset, length in member.extents:
        yield from zeros(offset - position)
        yield from stream.views(length)
        position = offset + length
        stored += length
    yield from zeros(member.size - position)
    if stream.position != member.start + stored:
        raise LayerError(f"it is no sound tar archive: it ends too early [byte {stream.position}]")


def show(name: bytes | str) -> str:
    """A stranger's name in a message: quoted, escaped and not endless."""
    text = name if isinstance(name, str) else decode(name)
    return ascii(text if len(text) <= 200 else f"{text[:200]}...")


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unless_special(path: str, header: Header) -> Member | Whiteout | None:
    folder, _, name = path.rpartition("/")
    if name == ".wh..wh..opq":
        return Whiteout(folder, opaque=True)
    if any(part.startswith(".wh..wh.") for part in path.split("/")):
        return None  # aufs kept its own records in the tree; no image means them
    if any(part.startswith(".wh.") for part in folder.split("/")):
        raise LayerError(f"member {show(header.name)}: it lies below a whiteout")
    if name in {".wh.", ".wh..", ".wh..."}:
        raise LayerError(f"member {show(header.name)}: it is a whiteout of nothing")
    if name.startswith(".wh."):
        return Whiteout(f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/"))
    return _member(path, header)


def _member(path: str, header: Header) -> Member:
    kind = _KINDS.get(header.kind)
    if kind is None:
        raise LayerError(f"member {show(header.name)}: its type {show(header.kind)} is not supported")
    if not path and kind is not Kind.DIRECTORY:
        raise LayerError(f"member {show(header.name)}: only a directory can be the root")
    for number in (header.uid, header.gid):
        if not 0 <= number <= _LARGEST_ID:
            raise LayerError(f"member {show(header.name)}: {number} is no user or group")
    return Member(
        path,
        kind,
        header.mode & 0o1777,
        header.uid,
        header.gid,
        max(0, min(header.mtime, _LATEST)),
        _target(kind, header),
        header.size,
        header.start,
        header.extents,
        tuple(_kept(header)) if header.xattrs else (),
    )


def _path(name: bytes) -> str:
    """Relative to the root of the image, whatever the name begins with."""
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in parts:
        raise LayerError(f"member {show(name)}: '..' leads out of its folder")
    if b"\0" in name:
        raise LayerError(f"member {show(name)}: the name has a NUL in it")
    path = b"/".join(parts)
    if len(path) > _NAME_MAX and (len(path) > _PATH_MAX or max(map(len, parts)) > _NAME_MAX):
        raise LayerError(f"member {show(name)}: the name is longer than the kernel takes")
    return decode(path)


def _target(kind: Kind, header: Header) -> str:
    if kind is Kind.HARD_LINK:
        return _path(header.link)
    if kind is not Kind.SYMLINK:
        return ""
    if b"\0" in header.link or not 0 < len(header.link) <= _PATH_MAX:
        raise LayerError(f"member {show(header.name)}: {show(header.link)} cannot be the text of a symbolic link")
    return decode(header.link)


def _kept(header: Header) -> Iterator[Record]:
    for name, value in header.xattrs:
        if not name.startswith(b"user."):
            continue
        if len(name) > _NAME_MAX or len(value) > _LARGEST_XATTR or b"\0" in name:
            raise LayerError(f"member {show(header.name)}: its attribute {show(name)} is longer than the kernel takes")
        yield name, value

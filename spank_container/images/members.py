"""The members of one layer, each checked: the only reader of what strangers put into a tar header.

A member that could mean something outside the tree, or that the kernel could not hold, is refused with its name.
Nothing is unpacked, so a name is never looked up on this machine. Setuid and setgid bits end here, and all extended
attributes but user.*: security.* carries file capabilities, trusted.* steers overlayfs, squashfs has no others.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import IO, TYPE_CHECKING, Self, cast

from spank_container.images.layers import LayerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.layers import LayerStream

# A block of zeros, and no block at all; typeshed knows neither.
_END = (tarfile.EOFHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]
_XATTR = "SCHILY.xattr."
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
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.GNUTYPE_SPARSE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.FIFOTYPE: Kind.FIFO,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.BLKTYPE: Kind.DEVICE,
}


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes: `size` of them, where `extents` (offset in the file, length) follow each other in the layer's
    uncompressed stream from `start` on, and all between them is holes."""

    start: int
    size: int
    extents: tuple[tuple[int, int], ...]


NOTHING = Content(0, 0, ())


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a layer. `path` has no leading or trailing slash, and is empty for the root; bytes that are not
    UTF-8 are lone surrogates. `target` is a symbolic link's text or a hard link's path."""

    path: str
    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    target: str = ""
    content: Content = NOTHING
    xattrs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Members:
    """A whole layer: `hidden` paths go from the layers below, and of `opaque` directories what is in them; only then
    come `present`, in the layer's order."""

    hidden: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    present: list[Member] = field(default_factory=list)


def read_members(stream: LayerStream) -> Members:
    """All members of the layer, to the stream's end; LayerError when it is no sound tar archive."""
    found = Members()
    try:
        for info in _headers(stream):
            _sort_in(found, info)
    except (tarfile.TarError, ArithmeticError, RecursionError) as error:
        raise LayerError(f"it is no sound tar archive: {error}") from error
    except ValueError as error:
        if isinstance(error, LayerError):
            raise
        raise LayerError(f"it is no sound tar archive: {error}") from error
    stream.drain()
    return found


def show(path: str) -> str:
    """A stranger's name in a message: quoted, escaped and not endless."""
    return ascii(path if len(path) <= 200 else f"{path[:200]}...")


class _Header(tarfile.TarInfo):
    """tarfile takes a broken header for the end of the archive, and the image would silently lack the rest."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _END:
            raise
        except tarfile.HeaderError as error:
            raise LayerError(f"it is no sound tar archive: {error}") from error


def _headers(stream: LayerStream) -> Iterator[tarfile.TarInfo]:
    stream.expect_header()
    archive = tarfile.TarFile(
        fileobj=cast("IO[bytes]", stream), tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    )
    while info := archive.next():
        yield info
        archive.members.clear()  # type: ignore[attr-defined]  # it keeps all that it saw; typeshed does not know
        stream.expect_header()


def _sort_in(found: Members, info: tarfile.TarInfo) -> None:
    path = _path(info.name)
    folder, _, name = path.rpartition("/")
    if name == ".wh..wh..opq":
        found.opaque.append(folder)
    elif any(part.startswith(".wh..wh.") for part in path.split("/")):
        pass  # aufs kept its own records in the tree; no image means them
    elif any(part.startswith(".wh.") for part in folder.split("/")):
        raise LayerError(f"member {show(info.name)}: it lies below a whiteout")
    elif name in {".wh.", ".wh..", ".wh..."}:
        raise LayerError(f"member {show(info.name)}: it is a whiteout of nothing")
    elif name.startswith(".wh."):
        found.hidden.append(f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/"))
    else:
        found.present.append(_member(path, info))


def _member(path: str, info: tarfile.TarInfo) -> Member:
    kind = _KINDS.get(info.type)
    if kind is None:
        raise LayerError(f"member {show(info.name)}: its type {show(info.type.decode('latin-1'))} is not supported")
    if not path and kind is not Kind.DIRECTORY:
        raise LayerError(f"member {show(info.name)}: only a directory can be the root")
    return Member(
        path=path,
        kind=kind,
        mode=info.mode & 0o1777,
        uid=_id(info, info.uid),
        gid=_id(info, info.gid),
        mtime=max(0, min(int(info.mtime), _LATEST)),
        target=_target(kind, info),
        content=_content(info) if kind is Kind.FILE else NOTHING,
        xattrs=tuple(_xattrs(info)),
    )


def _path(name: str) -> str:
    """Relative to the root of the image, whatever the name begins with."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise LayerError(f"member {show(name)}: '..' leads out of its folder")
    if "\0" in name:
        raise LayerError(f"member {show(name)}: the name has a NUL in it")
    path = "/".join(parts)
    if _bytes(path) > _PATH_MAX or any(_bytes(part) > _NAME_MAX for part in parts):
        raise LayerError(f"member {show(name)}: the name is longer than the kernel takes")
    return path


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _target(kind: Kind, info: tarfile.TarInfo) -> str:
    if kind is Kind.HARD_LINK:
        return _path(info.linkname)
    if kind is not Kind.SYMLINK:
        return ""
    if "\0" in info.linkname or not 0 < _bytes(info.linkname) <= _PATH_MAX:
        raise LayerError(f"member {show(info.name)}: {show(info.linkname)} cannot be the text of a symbolic link")
    return info.linkname


def _id(info: tarfile.TarInfo, number: int) -> int:
    if not 0 <= number <= _LARGEST_ID:
        raise LayerError(f"member {show(info.name)}: {number} is no user or group")
    return number


def _content(info: tarfile.TarInfo) -> Content:
    extents = tuple(_sparse(info)) if info.issparse() else ((0, info.size),)
    end = 0
    for offset, length in extents:
        if offset < end or length < 0:
            raise LayerError(f"member {show(info.name)}: its map of holes is broken")
        end = offset + length
    if end > info.size:
        raise LayerError(f"member {show(info.name)}: its map of holes is broken")
    return Content(info.offset_data, info.size, extents)


def _sparse(info: tarfile.TarInfo) -> list[tuple[int, int]]:
    return cast("list[tuple[int, int]]", info.sparse)


def _xattrs(info: tarfile.TarInfo) -> Iterator[tuple[str, str]]:
    for key, value in info.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if name == key or not name.startswith("user."):
            continue
        if _bytes(name) > _NAME_MAX or _bytes(value) > _LARGEST_XATTR or "\0" in name:
            raise LayerError(f"member {show(info.name)}: its attribute {show(name)} is longer than the kernel takes")
        yield name, value

"""The headers of a tar archive as they stand there: the only reader of the format.

POSIX (pax), ustar, GNU and the ancient form, read as Go's archive/tar does, which the tools for images are built on:
global pax headers say nothing about the members, and only files have content. tarfile is not used: it takes ten times
as long, takes a broken header for the archive's end, and a hostile header's word for how much memory it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import adler32

from spank_container.images.layers import LayerError
from spank_container.images.sparse import Extents, has_pax_map, read_gnu_map, read_pax_map
from spank_container.images.tar_fields import (
    BLOCK,
    LARGEST_HEADER,
    Record,
    decimal,
    number,
    padding,
    pax_records,
    seconds,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.layers import LayerStream

_ZEROS = bytes(BLOCK)
_FIELDS = Struct("100s8s8s8s12s12s8s1s100s6s82x155s12x")
_ADLER = 65521
_XATTR = b"SCHILY.xattr."
_FILES = frozenset({b"0", b"7", b"S"})


class Header(NamedTuple):
    """A member: `kind` is its type flag, `mtime` whole seconds.

    A file has `size` bytes; what is no hole of them is `extents`, which begin at `start` of the stream.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes
    size: int
    start: int
    extents: Extents
    xattrs: tuple[Record, ...]


@dataclass(slots=True)
class _Extension:
    """What headers before a member's own say about it."""

    records: list[Record] = field(default_factory=list)
    long: dict[bytes, bytes] = field(default_factory=dict)
    length: int = 0


def read_headers(stream: LayerStream) -> Iterator[Header]:
    """All members in the archive's order; LayerError says what is wrong and where."""
    while True:
        at = stream.position
        try:
            found = _next_header(stream)
        except ValueError as error:
            raise LayerError(f"it is no sound tar archive: {error} [byte {at}]") from error
        if not found:
            return
        header, end = found
        yield header
        stream.skip(end - stream.position)
        if stream.position < end:
            raise LayerError(f"it is no sound tar archive: it ends too early [byte {stream.position}]")
        stream.skip(padding(end))


def _next_header(stream: LayerStream) -> tuple[Header, int] | None:
    """And where in the stream the member's content ends; None at the end of the archive."""
    extension = _Extension()
    while True:
        block = stream.take(BLOCK)
        if block == _ZEROS or (not block and stream.position):
            if extension.length:
                raise ValueError("a member is missing")
            return None
        fields = _fields(block)
        kind = fields[7]
        if kind not in {b"x", b"g", b"L", b"K"}:
            return _header(stream, block, fields, extension)
        data = _body(stream, fields, extension)
        if kind == b"x":
            extension.records = list(pax_records(data))
        elif kind != b"g":
            extension.long[kind] = text(data)


def _fields(block: bytes) -> tuple[bytes, ...]:
    if len(block) < BLOCK:
        raise ValueError("it ends too early")
    fields: tuple[bytes, ...] = _FIELDS.unpack(block)
    wanted = number(fields[6]) + sum(fields[6]) - 8 * ord(" ")
    # The low half of Adler-32 is the sum that we need, plus one, modulo 65521, in a tenth of the time. Some ancient
    # programs summed signed bytes.
    if adler32(block) & 0xFFFF != (wanted + 1) % _ADLER and wanted != sum(memoryview(block).cast("b")):
        raise ValueError("bad checksum")
    return fields


def _body(stream: LayerStream, fields: tuple[bytes, ...], extension: _Extension) -> bytes:
    size = number(fields[4])
    extension.length += BLOCK + size
    if size < 0 or extension.length > LARGEST_HEADER:
        raise ValueError(f"a header is longer than {LARGEST_HEADER} bytes")
    data = stream.take(size)
    if len(data) < size:
        raise ValueError("it ends too early")
    stream.skip(padding(size))
    return data


def _header(stream: LayerStream, block: bytes, fields: tuple[bytes, ...], extension: _Extension) -> tuple[Header, int]:
    name, mode, uid, gid, size, mtime, _, kind, link, magic, prefix = fields
    name = text(name)
    if magic == b"ustar\0" and prefix[0]:
        name = text(prefix) + b"/" + name
    if kind == b"\0":
        kind = b"5" if name.endswith(b"/") else b"0"
    numbers = (number(mode), number(uid), number(gid), number(mtime))
    header = Header(name, kind, *numbers, text(link), number(size), stream.position, (), ())
    if extension.length:
        header = _extended(header, extension)
    if kind not in _FILES:
        return header._replace(size=0), header.start
    if header.size < 0:
        raise ValueError(f"{header.size} is no size")
    if kind == b"S" or (extension.records and has_pax_map(extension.records)):
        return _sparse(stream, block, header, extension.records)
    return header._replace(extents=((0, header.size),)), header.start + header.size


def _extended(header: Header, extension: _Extension) -> Header:
    # Go keeps the member's own value where a record has none.
    found = {key: value for key, value in extension.records if value}
    name = found.get(b"GNU.sparse.name", found.get(b"path", header.name))
    return header._replace(
        name=extension.long.get(b"L", name),
        link=extension.long.get(b"K", found.get(b"linkpath", header.link)),
        uid=_decimal(found, b"uid", header.uid),
        gid=_decimal(found, b"gid", header.gid),
        size=_decimal(found, b"size", header.size),
        mtime=seconds(found[b"mtime"]) if b"mtime" in found else header.mtime,
        xattrs=tuple((key[len(_XATTR) :], value) for key, value in found.items() if key.startswith(_XATTR)),
    )


def _decimal(found: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    return decimal(found[key]) if key in found else otherwise


def _sparse(stream: LayerStream, block: bytes, header: Header, records: list[Record]) -> tuple[Header, int]:
    """GNU's old map goes on after the header; that of pax 1.0 is a part of what is stored."""
    end = header.start + header.size
    if header.kind == b"S":
        size, extents = read_gnu_map(stream, block)
        end += stream.position - header.start
    else:
        size, extents = read_pax_map(stream, records, header.size)
    if sum(length for _, length in extents) > end - stream.position:
        raise ValueError("a file's map of holes has more than the file")
    return header._replace(size=size, start=stream.position, extents=extents), end

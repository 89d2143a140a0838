"""What an ELF file calls itself. Reads strangers' files: everything is checked, nothing is followed twice."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOAD, _DYNAMIC = 1, 2
_STRTAB, _SONAME = 5, 14
_MOST_SEGMENTS = 128
_MOST_ENTRIES = 1024
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class _Class:
    """The layouts of 32 or 64 bits: where the program headers are and how many, one of these, an entry of .dynamic."""

    header: str
    segment: str
    order: tuple[int, int, int, int]
    dynamic: str


_CLASSES = {
    1: _Class("28xI10xHH", "IIIIIIII", (0, 1, 2, 4), "iI"),
    2: _Class("32xQ14xHH", "IIQQQQQQ", (0, 2, 3, 5), "qQ"),
}
_ORDERS = {1: "<", 2: ">"}


def soname(data: bytes) -> str:
    """The DT_SONAME of the shared library that `data` is the whole of; empty when it has none or is none."""
    try:
        return _soname(data)
    except (error, LookupError, ValueError, OverflowError):
        return ""


def _soname(data: bytes) -> str:
    if data[:4] != b"\x7fELF":
        return ""
    kind, order = _CLASSES[data[4]], _ORDERS[data[5]]
    segments = list(_segments(data, kind, order))
    dynamic = dict(entry for entry in _dynamic(data, segments, Struct(order + kind.dynamic)))
    if not {_STRTAB, _SONAME} <= dynamic.keys():
        return ""
    start = _offset(segments, dynamic[_STRTAB]) + dynamic[_SONAME]
    name = data[start : data.index(b"\0", start, start + _LONGEST + 1)].decode("ascii")
    return name if name.isprintable() else ""


def _segments(data: bytes, kind: _Class, order: str) -> Iterator[tuple[int, ...]]:
    """Type, offset, address and size in the file of each."""
    where, size, count = Struct(order + kind.header).unpack_from(data)
    layout = Struct(order + kind.segment)
    for number in range(min(count, _MOST_SEGMENTS)):
        fields = layout.unpack_from(data, where + number * size)
        yield tuple(fields[place] for place in kind.order)


def _dynamic(data: bytes, segments: list[tuple[int, ...]], layout: Struct) -> Iterator[tuple[int, int]]:
    for kind, offset, _, size in segments:
        if kind == _DYNAMIC:
            for number in range(min(size // layout.size, _MOST_ENTRIES)):
                tag, value = layout.unpack_from(data, offset + number * layout.size)
                if not tag:
                    return
                yield tag, value


def _offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, offset, start, size in segments:
        if kind == _LOAD and start <= address < start + size:
            return offset + address - start
    raise ValueError("an address that is not in the file")

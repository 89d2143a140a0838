"""Maps of holes in tar archives: GNU's old form, and the three that pax headers carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.images.tar_fields import BLOCK, LARGEST_HEADER, decimal, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spank_container.images.layers import LayerStream
    from spank_container.images.tar_fields import Record

Extents = tuple[tuple[int, int], ...]
"""(offset in the file, length) of what is no hole; in the archive one follows the other."""

_MAJOR, _MINOR, _COUNT, _MAP = b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.numblocks", b"GNU.sparse.map"
_OFFSET, _LENGTH = b"GNU.sparse.offset", b"GNU.sparse.numbytes"


def read_gnu_map(stream: LayerStream, header: bytes) -> tuple[int, Extents]:
    """Of a member of type S: the size of the file, and its map, which may go on after the header."""
    pairs = list(_entries(header[386:482]))
    more = header[482]
    for _ in range(LARGEST_HEADER // BLOCK):
        if not more:
            break
        block = stream.take(BLOCK)
        if len(block) < BLOCK:
            raise _broken("is cut off")
        pairs += _entries(block[:504])
        more = block[504]
    else:
        raise _broken("is too long")
    return _checked(number(header[483:495]), pairs)


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(data), 24):
        if not data[at]:
            return
        yield number(data[at : at + 12]), number(data[at + 12 : at + 24])


def has_pax_map(records: Sequence[Record]) -> bool:
    return any(key in {_MAJOR, _MAP, _COUNT} for key, _ in records)


def read_pax_map(stream: LayerStream, records: Sequence[Record], stored: int) -> tuple[int, Extents]:
    """Of a member whose pax headers have a map, or say that one comes before its `stored` bytes of content."""
    found = dict(records)
    if (found.get(_MAJOR), found.get(_MINOR)) == (b"1", b"0"):
        numbers = _read_numbers(stream, stored)
        size = decimal(found.get(b"GNU.sparse.realsize", b""))
    elif found.get(_MAJOR, b"0") == b"0":
        numbers = [decimal(text) for text in _listed(records, found)]
        size = decimal(found.get(b"GNU.sparse.size", b""))
    else:
        raise _broken("is of an unknown version")
    if len(numbers) % 2:
        raise _broken("is cut off")
    return _checked(size, list(zip(numbers[::2], numbers[1::2], strict=True)))


def _listed(records: Sequence[Record], found: dict[bytes, bytes]) -> list[bytes]:
    """Version 0.1 has all numbers in one record, 0.0 one record a number."""
    if _MAP in found:
        return found[_MAP].split(b",") if found[_MAP] else []
    return [value for key, value in records if key in {_OFFSET, _LENGTH}]


def _read_numbers(stream: LayerStream, stored: int) -> list[int]:
    """Version 1.0: how many pairs there are, and the pairs, a line each number, filled up to a whole block."""
    text = b""
    wanted = 1
    while text.count(b"\n") < wanted:
        if len(text) >= min(stored, LARGEST_HEADER):
            raise _broken("is cut off or too long")
        text += stream.take(BLOCK)
        wanted = 1 + 2 * decimal(text.partition(b"\n")[0])
    return [decimal(line) for line in text.split(b"\n")[1:wanted]]


def _checked(size: int, pairs: Sequence[tuple[int, int]]) -> tuple[int, Extents]:
    end = 0
    for offset, length in pairs:
        if offset < end or length < 0:
            raise _broken("goes backwards")
        end = offset + length
    if end > size:
        raise _broken("goes beyond its end")
    return size, tuple(pair for pair in pairs if pair[1])


def _broken(why: str) -> ValueError:
    return ValueError(f"a file's map of holes {why}")

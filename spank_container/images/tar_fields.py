"""What tar headers are made of: blocks, numbers, and the records of pax headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512
_ZEROS = bytes(64 << 10)
LARGEST_HEADER = 1 << 20  # with all that extends it, as in Go
Record = tuple[bytes, bytes]
"""Key and value of a line in a pax header."""


def padding(size: int) -> int:
    """How many bytes fill the last block of `size` bytes."""
    return -size % BLOCK


def zeros(size: int) -> Iterator[bytes]:
    """That many, in pieces: a hole, or what fills a block."""
    for start in range(0, size, len(_ZEROS)):
        yield _ZEROS[: size - start]


def text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """Octal digits, or in base 256 when the first bit is set; ValueError for anything else."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=bool(field[0] & 0x40))
        return value if value < 0 else value - (0x80 << 8 * (len(field) - 1))
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits and not digits.isdigit():
        raise ValueError(f"{digits!r} is no number")
    return int(digits or b"0", 8)


def decimal(digits: bytes) -> int:
    """ValueError unless there are digits only; Python itself refuses thousands of them."""
    if not digits.isdigit():
        raise ValueError(f"{digits[:40]!r} is no number")
    return int(digits)


def seconds(value: bytes) -> int:
    """A pax header's time without what comes after the point."""
    whole, _, part = value.removeprefix(b"-").partition(b".")
    if part and not part.isdigit():
        raise ValueError(f"{value[:40]!r} is no time")
    return -decimal(whole) if value.startswith(b"-") else decimal(whole)


def pax_records(data: bytes) -> Iterator[Record]:
    """`LENGTH KEY=VALUE` and a newline, where LENGTH counts all of it."""
    at = 0
    while at < len(data):
        space = data.index(b" ", at, at + 20)
        end = at + decimal(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not key or not equals:
            raise ValueError(f"a record of an extended header at byte {at} of it")
        yield key, value
        at = end

"""Sizes in bytes, as people type them: 1G, 1.5G, .5T, 500k, 500KB, 1KiB, 512b, 1e3."""

from __future__ import annotations

import re

from spank_container.errors import ParseError

_UNITS = "kmgtpe"
_SIZE = re.compile(
    r"(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:e\d{1,3})?)(?:(?P<unit>[kmgtpe])(?:i?b)?|b)?", re.IGNORECASE | re.ASCII
)
_LARGEST = 2**63 - 1  # off_t


def parse_size(text: str) -> int:
    """The number of bytes that `text` means; units are powers of 1024, as in Shifter.

    Raises ParseError for zero, a sign, hexadecimal, an unknown unit and anything behind the unit.
    """
    everything = (0, len(text))
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ParseError("this is no size", text, everything, hint="write 500M, 1.5G or 4T")
    unit = match["unit"]
    factor = 1024 ** (_UNITS.index(unit.lower()) + 1) if unit else 1
    size = _scaled(match["number"], factor)
    if not 0 < size <= _LARGEST:
        raise ParseError("the size is out of range", text, everything, hint="give at least one byte and less than 8E")
    return size


def _scaled(number: str, factor: int) -> int:
    if number.isdigit():
        # 20 digits are out of range already, and thousands would be an error of int()'s own.
        return int(number.lstrip("0")[:20] or "0") * factor
    value = float(number) * factor
    return int(value) if value <= _LARGEST else -1


def format_size(size: int) -> str:
    """The shortest exact text: 1073741824 is 1G; `parse_size` reads it back."""
    exponent = 0
    while size and size % 1024 == 0 and exponent < len(_UNITS):
        size //= 1024
        exponent += 1
    return f"{size}{_UNITS[exponent - 1].upper()}" if exponent else str(size)

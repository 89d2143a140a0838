"""What a user types after --image-writable=, as a value: how much can be written to the container, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass

from spank_container.errors import ParseError
from spank_container.values.size import format_size, parse_size
from spank_container.values.volume import ContainerPath, normal, path_fault


@dataclass(frozen=True, slots=True)
class WritableSpec:
    """At most `size` bytes in memory, the site's size where there is none; or in the perNodeCache at `cache`."""

    size: int | None = None
    cache: ContainerPath | None = None

    def __str__(self) -> str:
        return self.cache or (format_size(self.size) if self.size else "")


def parse_writable(text: str) -> WritableSpec:
    """Read SIZE, or the /TARGET of a perNodeCache, or nothing; ParseError points at what is wrong."""
    if not text:
        return WritableSpec()
    if not text.startswith("/"):
        return WritableSpec(_size(text))
    if fault := path_fault(text):
        message, hint = fault
        raise ParseError(f"--image-writable: {message}", text, (0, len(text)), hint)
    return WritableSpec(cache=ContainerPath(normal(text)))


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ParseError as error:
        hint = f"{error.hint}, or the target of a perNodeCache, as /mnt"
        raise ParseError(f"--image-writable: {error.message}", text, error.span, hint) from None

"""What a site writes into volumes.mounts, as values: SOURCE[:TARGET][:ro|rw][:optional].

A site may mount where users may not, but never on what the container itself cannot do without.
"""

from __future__ import annotations

from dataclasses import dataclass

from spank_container.errors import ParseError
from spank_container.values.volume import ContainerPath, HostPath, is_below, normal, typed_path_fault

_KEPT = ("/proc", "/sys", "/dev", "/opt/spank-container", "/opt/udiImage")
_FLAGS = ("ro", "rw", "optional")


@dataclass(frozen=True, slots=True)
class SiteMount:
    """The node's `source` at `target` in every container; a node may lack an `optional` one."""

    source: HostPath
    target: ContainerPath
    read_only: bool = False
    optional: bool = False

    def __str__(self) -> str:
        flags = [":ro"] * self.read_only + [":optional"] * self.optional
        return f"{self.source}:{self.target}{''.join(flags)}"


def parse_site_mount(text: str) -> SiteMount:
    """Read one mount of the site's; ParseError points at what is wrong."""
    source, *rest = text.split(":")
    _check_path(text, source, 0)
    if rest and rest[0].startswith("/"):
        target = rest.pop(0)
        _check_path(text, target, len(source) + 1)
    else:
        target = source
    _check_target(text, normal(target))
    flags = _flags(text, rest)
    return SiteMount(HostPath(normal(source)), ContainerPath(normal(target)), "ro" in flags, "optional" in flags)


def _check_path(text: str, path: str, start: int) -> None:
    if fault := typed_path_fault(path):
        raise ParseError(fault[0], text, (start, start + len(path)), fault[1])


def _check_target(text: str, target: str) -> None:
    place = next((place for place in _KEPT if is_below(target, place) or is_below(place, target)), None)
    if place or target == "/etc":
        hint = f"choose a target outside {', '.join(_KEPT)}, and below /etc instead of on it"
        raise ParseError(f"{place or target} belongs to the container itself", text, (0, len(text)), hint)


def _flags(text: str, words: list[str]) -> set[str]:
    found: set[str] = set()
    start = len(text) - len(":".join(words))
    for word in words:
        flag, span = word.lower(), (start, start + len(word))
        if word and flag not in _FLAGS:
            raise ParseError("there is no such flag", text, span, hint=f"{', '.join(_FLAGS)} are known")
        if flag in found:
            raise ParseError(f"the flag {word} stands twice", text, span, hint="give each flag once")
        found |= {flag} - {""}
        start += len(word) + 1
    if {"ro", "rw"} <= found:
        raise ParseError("ro and rw contradict each other", text, (0, len(text)), hint="give one of them")
    return found

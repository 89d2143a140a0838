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
    target = rest.pop(0) if rest and rest[0].startswith("/") else source
    _check_path(text, source, 0)
    _check_path(text, target, len(source) + 1 if target is not source else 0)
    _check_target(text, normal(target))
    _check_flags(text, rest)
    return SiteMount(HostPath(normal(source)), ContainerPath(normal(target)), "ro" in rest, "optional" in rest)


def _check_path(text: str, path: str, start: int) -> None:
    if fault := typed_path_fault(path):
        raise ParseError(fault[0], text, (start, start + len(path)), fault[1])


def _check_target(text: str, target: str) -> None:
    place = next((place for place in _KEPT if is_below(target, place) or is_below(place, target)), None)
    if target == "/etc" or place:
        raise ParseError(
            f"{place or target} belongs to the container itself",
            text,
            (0, len(text)),
            hint=f"choose a target outside {', '.join(_KEPT)}, and below /etc instead of on it",
        )


def _check_flags(text: str, flags: list[str]) -> None:
    start = len(text) - len(":".join(flags))
    for index, flag in enumerate(flags):
        span = (start, start + len(flag))
        if flag not in _FLAGS:
            raise ParseError("there is no such flag", text, span, hint=f"{', '.join(_FLAGS)} are known")
        if flag in flags[:index]:
            raise ParseError(f"the flag {flag} stands twice", text, span, hint="give each flag once")
        start += len(flag) + 1
    if {"ro", "rw"} <= {*flags}:
        raise ParseError("ro and rw contradict each other", text, (0, len(text)), hint="give one of them")

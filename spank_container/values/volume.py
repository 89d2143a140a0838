"""What a user types after --volume=, as values: SOURCE:TARGET[:FLAG...][;...], Shifter's grammar.

Nothing is filtered silently: what is not understood is an error with a caret under it. What is empty between two
separators means nothing, as in Shifter: scripts write `$FROM:$TO:$FLAGS`, with or without flags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NewType

from spank_container.errors import ParseError
from spank_container.values.size import format_size, parse_size

HostPath = NewType("HostPath", str)
"""Absolute and normal, as seen on the node."""
ContainerPath = NewType("ContainerPath", str)
"""Absolute and normal, as seen in the container."""

FILESYSTEMS = ("xfs", "ext4")
PROTECTED = ("/etc", "/proc", "/sys", "/dev", "/opt/spank-container", "/opt/udiImage")
SMALLEST_SCRATCH = {"xfs": 300 * 1024**2, "ext4": 8 * 1024**2}  # mkfs.xfs refuses less than 300 MB since xfsprogs 5.19
_FLAGS_HINT = "ro, rw and perNodeCache=size=... are known, with a : between them"
_BLOCK_SIZES = {1024, 2048, 4096}  # mkfs.xfs makes none below, the kernel mounts none larger than a page
_UNEXPANDED = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}/]*\}?|\([^)/]*\)?)", re.ASCII)
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # PATH_MAX, less the NUL, and NAME_MAX of limits.h


@dataclass(frozen=True, slots=True)
class ScratchSpec:
    """perNodeCache: a file system of the job's own on each node, `size` bytes."""

    size: int
    filesystem: str = "xfs"
    block_size: int | None = None

    def __str__(self) -> str:
        block = f",bs={self.block_size}" if self.block_size else ""
        return f"perNodeCache=size={format_size(self.size)},fs={self.filesystem}{block}"


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """One volume: `source` on the node appears at `target` in the container."""

    source: HostPath
    target: ContainerPath
    read_only: bool = False
    scratch: ScratchSpec | None = None

    def __str__(self) -> str:
        flags = [":ro"] if self.read_only else []
        flags += [f":{self.scratch}"] if self.scratch else []
        return f"{self.source}:{self.target}{''.join(flags)}"


def is_protected(target: str) -> bool:
    """Whether something at `target`, a normal path, would hide or lie in a place that the container itself needs."""
    return _protected_by(target) is not None


def _protected_by(target: str) -> str | None:
    path = str(PurePosixPath(target))  # what an image leads to may be /. for its root
    if path == "/":
        return path
    return next((place for place in PROTECTED if is_below(path, place) or is_below(place, path)), None)


def is_below(path: str, place: str) -> bool:
    """Or the same; by component, and without pathlib, since a hostile request has thousands of volumes."""
    return place == "/" or f"{path}/".startswith(f"{place}/")


def host_path(text: str) -> HostPath | None:
    """A path that stands alone, so that `:` and `;` mean nothing in it; None for one that could not be mounted."""
    return None if path_fault(text) else HostPath(normal(text))


def path_fault(path: str) -> tuple[str, str] | None:
    """What is wrong with it and what to do, if anything is."""
    parts = path.split("/")
    if '"' in path:
        return "the path holds a quote", "quotes may only stand round a whole SOURCE:TARGET"
    if not path.startswith("/"):
        return "the path is not absolute", "begin it with /"
    if not path.isprintable():
        return "the path holds an unprintable character", "rename the folder"
    if ".." in parts:
        return "the path has a .. in it", "write the path without .."
    if len(path.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return "the path is too long", f"{_LONGEST_PATH} bytes at most, and {_LONGEST_NAME} between two /"
    return None


def typed_path_fault(path: str) -> tuple[str, str] | None:
    """Likewise, of what a person has typed: Slurm replaces no $NAME, and a shell no ~ behind a `=`.

    So a folder that is really called $NAME cannot be named; a target that is called so would be a surprise.
    """
    if path.startswith("~"):
        return "nothing replaces the ~ here", "write the path itself; on a command line, $HOME"
    if found := _UNEXPANDED.search(path):
        return f"nothing replaces {found[0]} here", "write the path itself: no shell reads #SBATCH lines"
    return path_fault(path)


def normal(path: str) -> str:
    """Without what means nothing: `//`, `/./` and a slash at the end."""
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def parse_volumes(text: str) -> tuple[VolumeSpec, ...]:
    """Read one --volume= option, which may hold several volumes; ParseError points at what is wrong."""
    volumes: list[VolumeSpec] = []
    start = 0
    for element in text.split(";"):
        if element not in {"", '""'}:
            volumes.append(_Element(text, start, element).volume())
        start += len(element) + 1
    if not volumes:
        raise ParseError("--volume: it is empty", text, (0, max(1, len(text))), hint="write SOURCE:TARGET")
    return tuple(volumes)


class _Element:
    """One volume within the option's text; remembers where it stands, for the caret."""

    def __init__(self, text: str, start: int, element: str) -> None:
        self._text = text
        if len(element) >= 2 and element[0] == element[-1] == '"':
            start, element = start + 1, element[1:-1]
        self._start, self._end = start, start + len(element)
        self._fields = _with_offsets(element, start)

    def volume(self) -> VolumeSpec:
        if len(self._fields) < 2:
            raise self._error("a volume needs a source and a target", self._start, self._end, "write SOURCE:TARGET")
        source, target = HostPath(self._path(*self._fields[0])), ContainerPath(self._target(*self._fields[1]))
        read_only, scratch = self._flags([flag for flag in self._fields[2:] if flag[0]])
        return VolumeSpec(source, target, read_only, scratch)

    def _error(self, message: str, start: int, end: int, hint: str) -> ParseError:
        return ParseError(f"--volume: {message}", self._text, (start, max(end, start + 1)), hint)

    def _path(self, path: str, start: int) -> str:
        if fault := typed_path_fault(path):
            message, hint = fault
            raise self._error(message, start, start + len(path), hint)
        return normal(path)

    def _target(self, path: str, start: int) -> str:
        target = self._path(path, start)
        if place := _protected_by(target):
            hint = f"choose a target outside {', '.join(PROTECTED)}"
            raise self._error(f"{place} belongs to the container itself", start, start + len(path), hint)
        return target

    def _flags(self, flags: list[tuple[str, int]]) -> tuple[bool, ScratchSpec | None]:
        seen: dict[str, ScratchSpec | None] = {}
        for flag, start in flags:
            name, _, argument = flag.partition("=")
            key, end = name.lower(), start + len(flag)
            if key in seen:
                raise self._error(f"the flag {name} stands twice", start, end, "give each flag once")
            if key == "pernodecache":
                seen[key] = self._scratch(argument, start, end)
            elif flag.lower() in {"ro", "rw"}:
                seen[key] = None
            else:
                raise self._error("there is no such flag", start, end, _FLAGS_HINT)
        if {"ro", "rw"} <= seen.keys() or {"ro", "pernodecache"} <= seen.keys():
            start, end = flags[0][1], self._end
            raise self._error("these flags contradict each other", start, end, "a perNodeCache is rw; else ro or rw")
        return "ro" in seen, seen.get("pernodecache")

    def _scratch(self, argument: str, start: int, end: int) -> ScratchSpec:
        found: dict[str, int | str] = {}
        for setting, position in _with_offsets(argument, end - len(argument), separator=","):
            if not setting:
                continue
            key, _, value = setting.partition("=")
            if key.lower() in found:
                raise self._error(f"{key} stands twice", position, position + len(setting), "give it once")
            found[key.lower()] = self._scratch_value(key.lower(), value, position, position + len(setting))
        if "size" not in found:
            raise self._error("perNodeCache needs a size", start, end, "write perNodeCache=size=100G")
        return self._checked_scratch(found, start, end)

    def _scratch_value(self, key: str, value: str, start: int, end: int) -> int | str:
        if key in {"size", "bs"}:
            try:
                return parse_size(value)
            except ParseError as error:
                raise self._error(error.message, min(start + len(key) + 1, end), end, error.hint) from None
        known = {"fs": FILESYSTEMS, "method": ("loop",)}
        if value.lower() not in known.get(key, ()):
            hint = "size=, fs=xfs, fs=ext4, bs= and method=loop are known"
            raise self._error("perNodeCache does not know this", start, end, hint)
        return value.lower()

    def _checked_scratch(self, found: dict[str, int | str], start: int, end: int) -> ScratchSpec:
        size, block = int(found["size"]), found.get("bs")
        filesystem = str(found.get("fs", "xfs"))
        smallest = SMALLEST_SCRATCH[filesystem]
        if size < smallest:
            hint = f"give at least {format_size(smallest)}{', or fs=ext4' if filesystem == 'xfs' else ''}"
            raise self._error(f"{format_size(size)} is too small for {filesystem}", start, end, hint)
        if block is not None and block not in _BLOCK_SIZES:
            raise self._error("there is no such block size", start, end, "bs=1k, bs=2k and bs=4k are known")
        return ScratchSpec(size, filesystem, None if block is None else int(block))


def _with_offsets(text: str, start: int, separator: str = ":") -> list[tuple[str, int]]:
    fields: list[tuple[str, int]] = []
    for field in text.split(separator):
        fields.append((field, start))
        start += len(field) + len(separator)
    return fields

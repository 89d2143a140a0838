"""What spank-container has left behind: looked at from outside, with nothing of its own code.

Owns the list of what to look for. It judges nothing: during a job these are there rightly, afterwards they are not.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.node import Node

STATE = "/run/spank-container"
STATE_FOLDERS = ("jobs", "images")
PROGRAMS = (b"spank-container", b"spank_container")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """One node's; loop devices belong to no node, so they are counted for the machine."""

    mounts: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def of_node(node: Node) -> Leftovers:
    """What is there on `node` now."""
    mounts = [line.split() for line in _read(Path(f"/proc/{node.pid}/mountinfo")).decode().splitlines()]
    own = _namespace(node.pid, "mnt")
    foreign = {pid: space for pid in _pids(node) if (space := _namespace(pid, "mnt")) not in {"", own}}
    pins = tuple(mount[3] for mount in mounts if mount[mount.index("-") + 1] == "nsfs")
    return Leftovers(
        mounts=tuple(mount[4] for mount in mounts if mount[4].startswith(f"{STATE}/")),
        files=tuple(_files(node)),
        namespaces=tuple(sorted({*foreign.values(), *pins})),
        processes=tuple(_command(pid) for pid in _pids(node) if pid in foreign or _is_ours(pid)),
    )


def _pids(node: Node) -> list[int]:
    space = _namespace(node.pid, "pid")
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _namespace(pid, "pid") == space]


def _namespace(pid: int, kind: str) -> str:
    """For example mnt:[4026532201]; empty when the process is gone."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    return ""


def _is_ours(pid: int) -> bool:
    words = _read(Path(f"/proc/{pid}/cmdline"))
    return any(program in words for program in PROGRAMS)


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace").strip()


def _files(node: Node) -> Iterator[str]:
    state = node.root / STATE.lstrip("/")
    for folder in STATE_FOLDERS:
        for path in sorted((state / folder).rglob("*")):
            yield f"/{path.relative_to(node.root)}"


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""

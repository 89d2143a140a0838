"""The loop devices of this machine. They belong to the kernel and not to a node, so nothing but care removes them.

What tells whose a device is: the file system that its backing file lies on, by number, and the file's inode there.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.command import attempt, run

if TYPE_CHECKING:
    from collections.abc import Iterable

DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Loop:
    """An attached device; `file` is the backing file's name as the node that attached it knows it."""

    device: str
    file: str
    file_system: str
    inode: int


def attached() -> list[Loop]:
    """Every loop device that has a backing file."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE,BACK-MAJ:MIN,BACK-INO"])
    rows = json.loads(listed)["loopdevices"] if listed.strip() else []
    return [
        Loop(row["name"], row["back-file"] or "", row["back-maj:min"].strip(), int(row["back-ino"])) for row in rows
    ]


def of_cluster(data: Path, inits: Iterable[int]) -> dict[str, str]:
    """Device and backing file of those whose file lies in `data` or on a file system of a node with one of `inits`.

    An unlinked file in `data` has no inode to be found; it is told by a name that means nothing on this machine.
    """
    own = set().union(*(_file_systems(pid) for pid in inits)) - _file_systems("self")
    shared = _number(data)
    inodes = {path.lstat().st_ino for path in data.rglob("*")}
    return {
        loop.device: loop.file
        for loop in attached()
        if loop.file_system in own or (loop.file_system == shared and (loop.inode in inodes or _is_unlinked(loop.file)))
    }


def _file_systems(pid: int | str) -> set[str]:
    with contextlib.suppress(OSError):
        return {line.split()[2] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
    return set()


def _number(folder: Path) -> str:
    """As the kernel writes it in mountinfo; empty when there is no such folder."""
    with contextlib.suppress(FileNotFoundError):
        device = folder.stat().st_dev
        return f"{os.major(device)}:{os.minor(device)}"
    return ""


def _is_unlinked(file: str) -> bool:
    return file.endswith(DELETED) and not Path(file.removesuffix(DELETED)).parent.is_dir()


def detach(devices: Iterable[str]) -> None:
    """Detach what a killed node left attached."""
    for device in devices:
        attempt(["losetup", "--detach", device])

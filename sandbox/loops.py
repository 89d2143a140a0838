"""The loop devices of this machine. They belong to the kernel and not to a node, so nothing but care removes them."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.command import attempt, run


def attached() -> dict[str, str]:
    """Every attached loop device and its backing file, as the node that attached it names the file."""
    return {device: file for device, file, _ in _listed()}


def of_cluster(before: tuple[str, ...]) -> dict[str, str]:
    """Those that were attached on a node since the cluster started.

    A node's backing file lies on a file system of the node's, or has a name that means nothing on this machine; that
    keeps us off the loop devices that other programs have attached meanwhile.
    """
    mounted_here = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {
        device: file
        for device, file, file_system in _listed()
        if device not in before and (file_system not in mounted_here or not _names_something(file))
    }


def _listed() -> list[tuple[str, str, str]]:
    """Device, backing file and the number of the file system that the file lies on."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE,BACK-MAJ:MIN"])
    rows = json.loads(listed)["loopdevices"] if listed.strip() else []
    return [(row["name"], row["back-file"] or "", row["back-maj:min"].strip()) for row in rows]


def _names_something(file: str) -> bool:
    return Path(file.removesuffix(" (deleted)")).parent.is_dir()


def detach(devices: tuple[str, ...]) -> None:
    """Detach what a killed node left attached."""
    for device in devices:
        attempt(["losetup", "--detach", device])

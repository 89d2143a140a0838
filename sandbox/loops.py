"""The loop devices of this machine. They belong to the kernel and not to a node, so nothing but care removes them."""

from __future__ import annotations

from pathlib import Path

from sandbox.command import attempt


def attached() -> dict[str, str]:
    """Every attached loop device and its backing file, as the node that attached it names the file."""
    found = {}
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found[entry.parts[3]] = entry.read_text().strip()
        except OSError:  # detached between the listing and the reading
            continue
    return found


def of_cluster(before: tuple[str, ...]) -> dict[str, str]:
    """Those that were attached on a node since the cluster started.

    A node's backing file has a name that means nothing on this machine; that keeps us off the loop devices that other
    programs have attached meanwhile.
    """
    return {name: file for name, file in attached().items() if name not in before and not _is_here(file)}


def _is_here(file: str) -> bool:
    return Path(file.removesuffix(" (deleted)")).parent.is_dir()


def detach(names: tuple[str, ...]) -> None:
    """Detach what a killed node left attached."""
    for name in names:
        attempt(["losetup", "--detach", f"/dev/{name}"])

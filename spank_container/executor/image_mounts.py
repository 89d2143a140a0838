"""One mount of each image on a node, shared by its jobs; each holds a lease, the last one out unmounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.kernel import mounts
from spank_container.kernel.loop import attached

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.plan.ops import MountImage
    from spank_container.state import StateDirectory


def lease_image(state: StateDirectory, op: MountImage) -> None:
    """Mount the image unless it is, and note that `op.lease` needs it.

    Raises UserError when the image is not in the store any more.
    """
    place, leases = _places(state, op)
    with state.images_lock():
        leases.mkdir(exist_ok=True)
        (leases / op.lease).touch()
        if not mounts.is_mount_point(str(place)):
            place.mkdir(exist_ok=True)
            _mount(op, place)


def _mount(op: MountImage, place: Path) -> None:
    try:
        backing = os.open(op.squashfs, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        hint = "spank-container images lists what is there; pull it again"
        raise UserError(f"the image {op.digest} is not in the store any more", hint) from error
    except OSError as error:
        raise NodeError.from_os_error("opening the image", error, op.squashfs) from error
    with mounts.closing(backing), attached(backing, read_only=True) as device:
        options = {"source": device, "ro": None}
        tree = mounts.new_filesystem("squashfs", options, mounts.HARMLESS | mounts.READ_ONLY)
        with mounts.closing(tree):
            mounts.attach(tree, str(place))


def release_image(state: StateDirectory, op: MountImage) -> None:
    """Give the lease back; unmount when it was the last. Nothing mounted and no lease is no error."""
    place, leases = _places(state, op)
    with state.images_lock():
        (leases / op.lease).unlink(missing_ok=True)
        if leases.exists() and not any(leases.iterdir()):
            mounts.unmount(str(place))
            for folder in (place, leases):
                if folder.exists():
                    folder.rmdir()


def image_mount(state: StateDirectory, digest: str) -> Path:
    """Where the image is mounted while anybody has a lease."""
    return state.images / digest


def _places(state: StateDirectory, op: MountImage) -> tuple[Path, Path]:
    return image_mount(state, op.digest), state.images / f"{op.digest}.leases"

"""One mount of each image on a node, shared by its jobs; each holds a lease.

The last one out unmounts, or leaves the mount to the next job for as long as its plan said: whatever hook or sweep
comes by after that time takes it away.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.kernel import mounts
from spank_container.kernel.loop import attached

if TYPE_CHECKING:
    from spank_container.plan.ops import MountImage
    from spank_container.state import StateDirectory

_LEASES = ".leases"


@dataclass(frozen=True, slots=True)
class MountedImage:
    """`digest` as in file names, sha256-HEX; `jobs` are the containers that use it; it may go after `until`."""

    digest: str
    jobs: tuple[str, ...]
    until: float


def lease_image(state: StateDirectory, op: MountImage) -> None:
    """Mount the image unless it is, and note that `op.lease` needs it.

    Raises UserError when the image is not in the store any more.
    """
    place, leases = _places(state, op.digest)
    with state.images_lock():
        leases.mkdir(exist_ok=True)
        (leases / op.lease).touch()
        if mounts.is_mount_point(str(place)):
            return
    with mounts.closing(_open(op)) as backing, state.images_lock():  # a copy takes its time, which others need not wait
        if not mounts.is_mount_point(str(place)):
            place.mkdir(exist_ok=True)
            _mount(backing, place)


def _open(op: MountImage) -> int:
    try:
        backing = os.open(op.squashfs, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        hint = "spank-container images lists what is there; pull it again"
        raise UserError(f"the image {op.digest} is not in the store any more", hint) from error
    except OSError as error:
        raise NodeError.from_os_error("opening the image", error, op.squashfs) from error
    if not op.copies:
        return backing
    from spank_container.executor.image_copies import ImageCopies  # noqa: PLC0415  # most sites have none

    return ImageCopies(Path(op.copies), op.copies_size).opened(op.digest, backing)


def _mount(backing: int, place: Path) -> None:
    with attached(backing, read_only=True) as device:
        options = {"source": device, "ro": None}
        tree = mounts.new_filesystem("squashfs", options, mounts.HARMLESS | mounts.READ_ONLY)
        with mounts.closing(tree):
            mounts.attach(tree, str(place))


def release_image(state: StateDirectory, op: MountImage) -> None:
    """Give the lease back; nothing mounted and no lease is no error."""
    _, leases = _places(state, op.digest)
    with state.images_lock():
        (leases / op.lease).unlink(missing_ok=True)
        if leases.exists() and not any(leases.iterdir()):
            until = time.time() + op.keep
            os.utime(leases, (until, until))  # the folder's own time says how long it stays
        _unmount_idle(state)


def unmount_idle(state: StateDirectory, *, at_once: bool = False) -> None:
    """Unmount the images that no container uses and whose time is over, or all that none uses."""
    if not state.path.exists():
        return
    with state.images_lock():
        _unmount_idle(state, at_once=at_once)


def _unmount_idle(state: StateDirectory, *, at_once: bool = False) -> None:
    for image in mounted_images(state):
        if not image.jobs and (at_once or image.until <= time.time()):
            place, leases = _places(state, image.digest)
            mounts.unmount(str(place))
            for folder in (place, leases):
                if folder.exists():
                    folder.rmdir()


def mounted_images(state: StateDirectory) -> tuple[MountedImage, ...]:
    """What this node has mounted, or is about to."""
    found = sorted(state.images.glob(f"*{_LEASES}"))
    return tuple(
        MountedImage(leases.name.removesuffix(_LEASES), tuple(sorted(os.listdir(leases))), leases.stat().st_mtime)
        for leases in found
    )


def image_mount(state: StateDirectory, digest: str) -> Path:
    """Where the image is mounted while anybody has a lease."""
    return state.images / digest


def _places(state: StateDirectory, digest: str) -> tuple[Path, Path]:
    return image_mount(state, digest), state.images / f"{digest}{_LEASES}"

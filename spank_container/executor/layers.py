"""The root: an overlay of the skeleton over the image, which can be written to where that was asked for.

Written to means as the user, who has no capability and is the owner of nothing in an image. So both lower layers are
mounted anew with root's files shown as the user's (kernel/idmap.py): the user may then do what root could, but for
what needs a capability, and what is changed is copied up as the user's own. Every mount stays nosuid.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.kernel import idmap, mounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spank_container.plan.ops import MountRoot

# What a cache's file system holds: a folder of the user's, and one of root's where the root is written to. The user's
# mount shows the first alone, so that nobody meets the second but through the overlay.
USERS_FOLDER, _ROOTS_FOLDER = "data", "root"
# No attribute in an image shall steer the overlay: redirects and metacopy are for layers of its own making.
_READ_ONLY: dict[str, str | None] = {"redirect_dir": "nofollow", "metacopy": "off", "ro": None}
# redirect_dir: else rename(2) of a folder of the image's fails with EXDEV. Only the upper layer, which nobody but the
# overlay writes to, can hold a redirect that is followed, since the image is the lowest layer and the skeleton has no
# attributes. metacopy: no file of the user's ever shows the data of another. index: hard links may break at copy-up,
# as in every container. volatile: nothing waits for a disk, since all of it is gone with the job. xino: one device
# number, for find -xdev and tar.
_WRITABLE: dict[str, str | None] = {
    "redirect_dir": "on",
    "metacopy": "off",
    "index": "off",
    "xino": "on",
    "volatile": None,
}


def mount_root(op: MountRoot, skeleton: int, image: int, caches: Mapping[str, str], workshop: str) -> int:
    """A descriptor of the root, mounted in the folder `workshop`."""
    layers = _lower_layers(op, {"lower-skeleton": skeleton, "lower-image": image}, workshop)
    options = {"lowerdir": ":".join(layers)}
    if op.size or op.cache:
        root = mounts.new_filesystem("overlay", options | _upper_layer(op, caches, workshop) | _WRITABLE)
    else:
        root = mounts.new_filesystem("overlay", options | _READ_ONLY, mounts.HARMLESS | mounts.READ_ONLY)
    _attach(root, f"{workshop}/root")
    return root


def _lower_layers(op: MountRoot, trees: Mapping[str, int], workshop: str) -> list[str]:
    """Their paths; the overlay keeps clones of its own."""
    if not (op.size or op.cache):
        return [os.readlink(f"/proc/self/fd/{tree}") for tree in trees.values()]
    uid, gid, *_ = op.owner
    try:
        with idmap.exchanging_root(uid, gid) as userns:
            for name, tree in trees.items():
                with mounts.closing(mounts.clone_tree(tree, attributes=mounts.HARMLESS | mounts.READ_ONLY)) as clone:
                    idmap.give_roots_files(clone, userns)
                    _attach(clone, f"{workshop}/{name}")
    except OSError as error:
        raise UserError(
            f"--image-writable: this node cannot show the image's files as yours: {os.strerror(error.errno or 0)}",
            hint="it needs Linux 6.3 and user.max_user_namespaces above 0; do without, or ask the site",
        ) from error
    return [f"{workshop}/{name}" for name in trees]


def _upper_layer(op: MountRoot, caches: Mapping[str, str], workshop: str) -> dict[str, str | None]:
    if op.cache:
        place = f"{caches[op.cache]}/{_ROOTS_FOLDER}"
        os.mkdir(place, 0o700)
    else:
        place = f"{workshop}/written"
        with mounts.closing(mounts.new_filesystem("tmpfs", {"size": op.size, "mode": "0700"})) as tree:
            _attach(tree, place)
    uid, gid, *_ = op.owner
    os.mkdir(f"{place}/upper", 0o755)
    os.chown(f"{place}/upper", uid, gid)  # it is the root folder
    os.mkdir(f"{place}/work", 0o700)
    return {"upperdir": f"{place}/upper", "workdir": f"{place}/work"}


def _attach(tree: int, path: str) -> None:
    os.mkdir(path)
    mounts.attach(tree, path)

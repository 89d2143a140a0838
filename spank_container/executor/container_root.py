"""Inside the new namespace: the skeleton, the overlay over the image, and the mounts on it.

All of it is put together on a tmpfs of the container's own, the workshop, which goes with the old root. No path of the
image's or of a user's is looked up but below the new root.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.executor.layers import USERS_FOLDER, mount_root
from spank_container.executor.places import attach, find_places
from spank_container.executor.skeleton import make_skeleton
from spank_container.kernel import mounts
from spank_container.kernel.credentials import credentials
from spank_container.plan.ops import TMP, AttachScratch, AttachTmp, Bind, MountOp, MountRoot, MountTmpfs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spank_container.plan.ops import InsideOp


def build_root(ops: Sequence[InsideOp], trees: Mapping[str, int], image: str, workshop: str) -> int:
    """Apply the operations; returns a descriptor of the new root, which is mounted in the folder `workshop`.

    `trees` are detached mounts: by target what is bound, by name what was made on the host.
    """
    os.umask(0o022)
    with mounts.closing(mounts.new_filesystem("tmpfs", {"mode": "0700"})) as tree:
        mounts.attach(tree, workshop)
    caches = _attached_caches(ops, trees, workshop)
    os.mkdir(f"{workshop}/skeleton", 0o755)
    with (
        mounts.closing(os.open(image, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as image_root,
        mounts.closing(os.open(f"{workshop}/skeleton", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as skeleton,
    ):
        places = find_places(ops, trees, image_root)
        make_skeleton(ops, places, skeleton, image_root)
        op = next(op for op in ops if isinstance(op, MountRoot))
        root = mount_root(op, skeleton, image_root, caches, workshop)
    by_target = {one.target: one for one in ops if isinstance(one, MountOp)}
    for target, place in places.items():
        with mounts.closing(_tree(by_target[target], trees)) as tree:
            attach(tree, root, place, credentials(op.owner))
    return root


def _attached_caches(ops: Sequence[InsideOp], trees: Mapping[str, int], workshop: str) -> dict[str, str]:
    """Where in the workshop each cache is: a part of one can be cloned, or be a layer, only where it is mounted."""
    caches = {op.name: f"{workshop}/{op.name}" for op in ops if isinstance(op, AttachScratch)}
    for name, path in caches.items():
        os.mkdir(path)
        mounts.attach(trees[name], path)
    return caches


def _tree(op: MountOp, trees: Mapping[str, int]) -> int:
    match op:
        case Bind():
            return os.dup(trees[op.target])
        case AttachTmp():
            return os.dup(trees[TMP])
        case AttachScratch():
            return mounts.clone_tree(trees[op.name], USERS_FOLDER)
        case MountTmpfs():
            return mounts.new_filesystem("tmpfs", {"size": op.size, "mode": f"{op.mode:o}"})

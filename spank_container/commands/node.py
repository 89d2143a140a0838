"""What a node has: the images that are mounted or copied there, for administrators and for Slurm."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.commands.verbs import Audience
from spank_container.errors import UserError
from spank_container.site_config import load_config
from spank_container.state import StateDirectory

if TYPE_CHECKING:
    import argparse

    from spank_container.commands.verbs import Verbs
    from spank_container.site_config import SiteConfig


def add_verbs(verbs: Verbs) -> None:
    actions = verbs.add_group("node", "what this node has of images", audience=Audience.ADMINISTRATORS)
    images = actions.add(
        "images",
        "list the images that are mounted or copied here",
        "Those that jobs use, those that stay mounted for a while, and the copies on the node's own disk.",
    )
    images.add_argument("--json", action="store_true", help="for machines: one array")
    images.set_defaults(run=_images)
    advertise = actions.add(
        "advertise",
        "tell Slurm, as features of this node, which images it has",
        "`spank-container sweep` does it too, where the site has set [images] advertise.",
        [("node advertise", "for sbatch --constraint=image_0123456789ab")],
    )
    advertise.set_defaults(run=_advertise)


@dataclass(frozen=True, slots=True)
class NodeImage:
    """`jobs` use it now; `copy` is the size of the copy on the node's own disk, 0 for none; `used` when last, in
    seconds since 1970, where a copy tells."""

    digest: str
    mounted: bool
    jobs: tuple[str, ...]
    copy: int
    used: float


def node_images(state: StateDirectory, config: SiteConfig) -> list[NodeImage]:
    """All that are here in any way, by digest. Raises UserError for users, since both places are root's alone."""
    if os.geteuid():
        raise UserError("only root can see what this node has", hint="run it as root, or as an operator by sudo")
    from spank_container.executor.image_copies import ImageCopies  # noqa: PLC0415
    from spank_container.executor.image_mounts import mounted_images  # noqa: PLC0415
    from spank_container.values.size import parse_size  # noqa: PLC0415

    mounted = {image.digest: image for image in mounted_images(state)}
    copies = {}
    if config.images.node_cache:
        limit = parse_size(config.images.node_cache_size)
        copies = {copy.digest: copy for copy in ImageCopies(Path(config.images.node_cache), limit).list()}
    return [
        NodeImage(
            digest.replace("-", ":", 1),
            digest in mounted,
            mounted[digest].jobs if digest in mounted else (),
            copies[digest].size if digest in copies else 0,
            copies[digest].used if digest in copies else 0,
        )
        for digest in sorted({*mounted, *copies})
    ]


def _images(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    from spank_container.commands.show import rounded, table  # noqa: PLC0415

    images = node_images(StateDirectory(), load_config())
    if arguments.json:
        print(json.dumps([asdict(image) for image in images], indent=2))
        return
    rows = [
        (
            image.digest,
            "mounted" if image.mounted else "-",
            ",".join(image.jobs) or "-",
            rounded(image.copy) if image.copy else "-",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(image.used)) if image.used else "-",
        )
        for image in images
    ]
    table(("ID", "MOUNTED", "JOBS", "COPY", "LAST USED"), rows)


def _advertise(arguments: argparse.Namespace) -> None:
    del arguments
    advertise_images(StateDirectory(), load_config())


def advertise_images(state: StateDirectory, config: SiteConfig) -> None:
    """Tell Slurm what this node has now."""
    from spank_container.slurm import node_name  # noqa: PLC0415
    from spank_container.slurm.features import advertise  # noqa: PLC0415

    advertise(node_name(), [image.digest for image in node_images(state, config)])

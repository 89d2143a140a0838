"""Images: pull and list them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse

    from spank_container.commands import Verbs


def add_verbs(verbs: Verbs) -> None:
    pull = verbs.add_parser("pull", help="fetch an image from its registry into the store")
    pull.add_argument("image", metavar="REF", help="docker:NAME[:TAG][@DIGEST]")
    pull.set_defaults(run=_pull)
    images = verbs.add_parser("images", help="list the images in the store")
    images.add_argument("--json", action="store_true", help="for machines: one array")
    images.set_defaults(run=_images)


def _pull(arguments: argparse.Namespace) -> None:
    from spank_container.images.show import show_pull  # noqa: PLC0415

    show_pull(arguments.image, Path(load_config().images.store))


def _images(arguments: argparse.Namespace) -> None:
    from spank_container.images.show import show_images  # noqa: PLC0415

    show_images(Path(load_config().images.store), as_json=arguments.json)

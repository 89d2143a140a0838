"""`spank-container image show`: all that is known of one image, for people and as JSON.

What a stranger wrote into an image is shown with its control characters escaped.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.site_config import load_config
from spank_container.values.size import format_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spank_container.gateway.answers import Image
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.image_ref import Digest

_NOT_SHOWN = ("digest", "architecture", "size", "passwd", "group", "access")


def show(arguments: argparse.Namespace) -> None:
    """Of `arguments.image`, as JSON with `arguments.json`."""
    from spank_container.library import open_library  # noqa: PLC0415  # what a verb needs, when it runs
    from spank_container.values.image_ref import Digest  # noqa: PLC0415

    config = load_config()
    image = open_library(config, os.environ).lookup(arguments.image)
    meta = _meta(Path(config.images.store), Digest(image.digest))
    if arguments.json:
        print(json.dumps(as_json(image, meta), indent=2))
        return
    for name, value in rows(image, meta):
        print(f"{name:<13} {printable(value)}")


def _meta(store: Path, digest: Digest) -> ImageMeta | None:
    """None for a private image, whose description only the gateway can read."""
    from spank_container.images.store import Store  # noqa: PLC0415

    try:
        return Store(store).meta(digest)
    except UserError:
        return None


def as_json(image: Image, meta: ImageMeta | None) -> dict[str, object]:
    known = asdict(meta) if meta else {}
    return asdict(image) | {name: value for name, value in known.items() if name not in _NOT_SHOWN}


def rows(image: Image, meta: ImageMeta | None) -> Iterator[tuple[str, str]]:
    """Heading and value; a heading with several values stands before the first."""
    yield from _listed("names", image.names or ("(no name)",))
    yield "id", image.digest
    yield "architecture", image.architecture
    yield "size", format_size(image.size)
    yield "pulled", time.strftime("%Y-%m-%d %H:%M", time.localtime(image.created))
    yield "whose", _whose(image)
    if meta:
        yield from _configured(meta)
        yield from _found(meta)


def _whose(image: Image) -> str:
    if not image.private:
        return "everybody's"
    return f"private: of user {image.owner}, users {list(image.users)}, groups {list(image.groups)}"


def _configured(meta: ImageMeta) -> Iterator[tuple[str, str]]:
    """What its maker said of it."""
    words = (("entrypoint", shlex.join(meta.entrypoint)), ("command", shlex.join(meta.cmd)))
    yield from ((name, value) for name, value in (*words, ("folder", meta.workdir), ("user", meta.user)) if value)
    yield from _listed("environment", meta.environment)
    yield from _listed("volumes", meta.volumes)
    yield from _listed("labels", tuple(f"{name}={value}" for name, value in meta.labels))


def _found(meta: ImageMeta) -> Iterator[tuple[str, str]]:
    """What was seen in its files."""
    libc = meta.findings.libc
    yield "C library", f"{libc.name} {libc.version}".strip() or "not known"
    libraries = tuple(f"{one.path} ({one.soname})" if one.soname else one.path for one in meta.findings.mpi)
    yield from _listed("MPI", libraries or ("none",))
    yield "interpreters", " ".join(meta.findings.interpreters) or "none"


def _listed(heading: str, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, value in enumerate(values):
        yield heading if number == 0 else "", value


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)

"""What `spank-container pull` and `images` show: bars where somebody looks, tables, JSON for machines.

rich is the client's extra; where it is missing, plain text serves.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.images.pull import pull
from spank_container.images.registry import Registry, passed_environment
from spank_container.images.store import Store
from spank_container.values.image_ref import RegistryRef, parse_image_ref
from spank_container.values.size import format_size, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.pull import Progress
    from spank_container.images.store import StoredImage
    from spank_container.site_config import ImagesConfig


def show_pull(text: str, config: ImagesConfig) -> None:
    """Pull an image; the reference and the digest go to standard output, how far it is to standard error."""
    reference = parse_image_ref(text)
    if not isinstance(reference, RegistryRef):
        raise UserError(f"{text} names no registry to pull from", hint="write docker:NAME:TAG")
    with _progress() as progress:
        registry = Registry(environment=passed_environment(os.environ))
        meta = pull(reference, Store(Path(config.store)), progress, registry, parse_size(config.blob_cache))
    print(f"{reference} {meta.digest} {_rounded(meta.size)}")


@contextmanager
def _progress() -> Iterator[Progress | None]:
    if not sys.stderr.isatty() or not importlib.util.find_spec("rich"):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # an extra
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:<12}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def show_images(store: Path, *, as_json: bool) -> None:
    """List the store: a row an image, the newest first."""
    images = Store(store).list()
    if as_json:
        print(json.dumps([_as_json(image) for image in images], indent=2))
    elif sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _show_table(images)
    else:
        for row in _rows(images):
            print("\t".join(row))


_HEADINGS = ("IMAGE", "ID", "SIZE", "PULLED")


def _rows(images: tuple[StoredImage, ...]) -> Iterator[tuple[str, str, str, str]]:
    for image in images:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(image.created))
        for name in image.names or ("(no name)",):
            yield name, image.meta.digest[:19], _rounded(image.meta.size), when


def _show_table(images: tuple[StoredImage, ...]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*_HEADINGS, box=None)
    for row in _rows(images):
        table.add_row(*row)
    Console().print(table)


def _as_json(image: StoredImage) -> dict[str, object]:
    meta = asdict(image.meta)
    del meta["passwd"], meta["group"]
    return {"names": image.names, "created": image.created, **meta}


def _rounded(size: int) -> str:
    """About: 53M for 55574528."""
    for unit in (1 << 30, 1 << 20, 1 << 10):
        if size >= 10 * unit:
            return format_size(size // unit * unit)
    return format_size(size)

"""How images are shown: bars where somebody looks, tables where people compare, JSON for machines.

rich is the client's extra; where it is missing, plain text serves. Nothing here asks for anything.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from spank_container.values.size import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from spank_container.gateway.answers import Image
    from spank_container.library import Report


@contextmanager
def progress() -> Iterator[Report | None]:
    """Bars on standard error, one for each stage, once there is something to show; None where nobody sees them."""
    if not _is_rich(sys.stderr):
        yield None
        return
    bars = _Bars()
    try:
        yield bars.show
    finally:
        bars.stop()


class _Bars:
    """rich is loaded for the first bar: most submits show none, and would pay for it."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def show(self, stage: str, done: int, total: int) -> None:
        bars = self._bars = self._bars or self._start()
        if stage not in self._tasks:
            self._tasks[stage] = bars.add_task(stage, total=total or None)
        bars.update(self._tasks[stage], completed=done, total=total or None)

    def stop(self) -> None:
        if self._bars:
            self._bars.stop()

    @staticmethod
    def _start() -> Progress:
        from rich.console import Console  # noqa: PLC0415  # an extra
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description:<22}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        bars = Progress(*columns, console=Console(stderr=True))
        bars.start()
        return bars


def _is_rich(stream: TextIO) -> bool:
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On a terminal a table with headings; else the rows alone, tab-separated, for cut(1)."""
    if not _is_rich(sys.stdout):
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    shown = Table(*headings, box=None)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def show_images(images: Sequence[Image], *, as_json: bool) -> None:
    """A row a name of each image."""
    if as_json:
        print(json.dumps([asdict(image) for image in images], indent=2))
        return
    rows = [row for image in images for row in _rows(image)]
    table(("IMAGE", "ID", "SIZE", "PULLED", "WHOSE"), rows)


def _rows(image: Image) -> Iterator[tuple[str, str, str, str, str]]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(image.created))
    for name in image.names or ("(no name)",):
        whose = "private" if image.private else "everybody's"
        yield name, image.digest[:19], rounded(image.size), when, whose


def rounded(size: int) -> str:
    """About: 53M for 55574528."""
    for unit in (1 << 30, 1 << 20, 1 << 10):
        if size >= 10 * unit:
            return format_size(size // unit * unit)
    return format_size(size)

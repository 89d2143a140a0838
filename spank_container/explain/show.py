"""An explanation, printed: tables where people look, JSON for machines. rich is the client's extra, imported late."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from spank_container.errors import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.explain.rows import Explanation

    Row = tuple[str, ...]

_HEADINGS = ("PATH", "WHAT", "HOW", "WHY")
_VARIABLE_HEADINGS = ("VARIABLE", "VALUE", "WHY")


def show(about: str, explanation: Explanation, *, as_json: bool) -> None:
    """Print it, below what it is `about`."""
    if as_json:
        print(json.dumps({"about": about, **asdict(explanation)}, indent=2))
    elif sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _print_with_rich(about, explanation)
    else:
        print("\n".join(plain(about, explanation)))


def plain(about: str, explanation: Explanation) -> Iterator[str]:
    """The lines where nobody looks, or rich is missing."""
    yield about
    for title, headings, rows in _tables(explanation):
        yield ""
        yield title
        if rows:
            yield from _columns([headings, *rows])
    yield ""
    yield from _command(explanation)
    yield ""
    yield from _node(explanation)


def _columns(rows: list[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _print_with_rich(about: str, explanation: Explanation) -> None:
    from rich.console import Console  # noqa: PLC0415  # an extra
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, markup=False)
    console.print(about)
    for title, headings, rows in _tables(explanation):
        console.print(f"\n{title}")
        if rows:
            table = Table(*headings, box=None, padding=(0, 2, 0, 0))
            for row in rows:
                table.add_row(*(Text(cell, overflow="fold") for cell in row))
            console.print(table)
    console.print("", *_command(explanation), "", *_node(explanation), sep="\n")


def _tables(explanation: Explanation) -> Iterator[tuple[str, Row, list[Row]]]:
    """Title, headings and rows of each; what comes from images and users is made fit for a terminal."""
    shown = [(row.path, row.source, ",".join(row.how), row.why) for row in explanation.shown]
    if explanation.joined:
        yield f"It runs in the container of its job, pinned at {explanation.joined}.", _HEADINGS, []
    else:
        yield "In the container:", _HEADINGS, [_fit(row) for row in shown]
    variables = [
        (one.name, "(taken away)" if one.value is None else one.value, one.why) for one in explanation.variables
    ]
    yield f"The environment: {_base(explanation)}", _VARIABLE_HEADINGS, [_fit(row) for row in variables]


def _base(explanation: Explanation) -> str:
    if explanation.keeps is None:
        return "the job's own, and over it"
    return "of the job's own only what Slurm, MPI and the choice of GPUs need (--image-clearenv), and over it"


def _command(explanation: Explanation) -> Iterator[str]:
    where = f"{visible(explanation.workdir)} (--image-workdir)" if explanation.workdir else "the job's directory"
    yield f"Tasks start in {where}."
    words = visible(shlex.join(explanation.entrypoint))
    yield f"They run {words} COMMAND (--image-entrypoint)." if words else "They run COMMAND as it is."


def _node(explanation: Explanation) -> Iterator[str]:
    yield "What is done on each node, in this order, and undone when the job ends:"
    for number, what in enumerate(explanation.node, start=1):
        yield f"{number}. {visible(what)}"


def _fit(row: Row) -> Row:
    return tuple(map(visible, row))

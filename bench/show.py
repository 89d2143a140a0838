"""The table for people and the JSON for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.rows import AtMostBytes, megabytes, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.rows import Row

_COLUMNS = ("median of", "measured", "floor", "", "ratio", "95 %", "promise", "holds")
_WIDE = 200  # a pipe gets whole lines


def show_json(name: str, rows: Sequence[Row]) -> None:
    print(json.dumps({"benchmark": name, "rows": [row.to_json() for row in rows]}, indent=2))


def show_table(name: str, rows: Sequence[Row]) -> None:
    table = Table(title=f"bench {name}", title_justify="left", box=SIMPLE_HEAD)
    for index, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if index in {1, 3, 4} else "left")
    for row in rows:
        table.add_row(*cells(row))
    terminal = Console(highlight=False)
    (terminal if terminal.is_terminal else Console(highlight=False, width=_WIDE)).print(table)


def cells(row: Row) -> list[str]:
    """The texts of one line, as many as there are columns."""
    floor = seconds(row.floor) if row.floor is not None else ""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    spread = f"{row.spread[0]:.2f}-{row.spread[1]:.2f}" if row.spread else ""
    holds = {None: "", True: "[green]yes[/]", False: "[bold red]NO[/]"}[row.holds]
    what = f"{row.samples} x {row.what}"
    measured = megabytes(row.measured) if isinstance(row.promise, AtMostBytes) else seconds(row.measured)
    return [what, measured, row.floor_name, floor, ratio, spread, str(row.promise or ""), holds]

"""What `spank-container check` found, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Level = Literal["ok", "warning", "failure"]
_SITE_FAULT = 78
_COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `what` was looked at, `why` it is as it is, `to_do` about it, empty when that is nothing."""

    level: Level
    what: str
    why: str
    to_do: str = ""


def ok(what: str, why: str) -> Finding:
    return Finding("ok", what, why)


def warning(what: str, why: str, to_do: str) -> Finding:
    return Finding("warning", what, why, to_do)


def failure(what: str, why: str, to_do: str) -> Finding:
    return Finding("failure", what, why, to_do)


def exit_code(findings: Iterable[Finding]) -> int:
    """0, or 78 when something fails: warnings are for people."""
    return _SITE_FAULT if any(one.level == "failure" for one in findings) else 0


def to_json(findings: Iterable[Finding]) -> str:
    return json.dumps([asdict(one) for one in findings], indent=1)


def to_text(findings: Sequence[Finding], *, terminal: bool) -> str:
    """A table by rich on a terminal, where rich is installed; else plain lines, each to be found by grep."""
    if terminal:
        try:
            return _table(findings)
        except ImportError:
            pass
    return "\n".join(f"{one.level:<8}{one.what}: {one.why}{_and_do(one)}" for one in findings)


def _and_do(finding: Finding) -> str:
    return f"\n        to do: {finding.to_do}" if finding.to_do else ""


def _table(findings: Sequence[Finding]) -> str:
    from rich.console import Console  # noqa: PLC0415  # optional
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "", "why", "to do"):
        table.add_column(heading, overflow="fold")  # a path that is cut short is of no use
    for one in findings:
        # Text, not str: a path with [brackets] is no markup.
        table.add_row(Text(one.level, _COLOURS[one.level]), Text(one.what), Text(one.why), Text(one.to_do))
    console = Console(file=StringIO(), force_terminal=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")

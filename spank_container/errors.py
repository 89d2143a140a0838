"""Errors, by who must act.

That is the whole difference on a node: a UserError fails the job and leaves the node alone; a SiteError or a
NodeError takes the node out of service. Every error says what was tried and why it failed; `hint` says what to do.
"""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

_LONGEST_SHOWN = 72  # a line that the terminal wraps has its caret in the wrong place


class SpankContainerError(Exception):
    """The base: `message` is one sentence, `hint` says what to do next, `exit_code` is sysexits(3)'s."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def report(self) -> str:
        """The message and the hint as the user sees them, without a trailing newline: text that no terminal obeys."""
        return "\n".join([*_lines(self.message), *_lines(self.hint and f"hint: {self.hint}")])


class UserError(SpankContainerError):
    """The user can put it right: a bad reference, an absent image, a volume that is not allowed."""

    exit_code = 64


class ParseError(UserError):
    """Text of a user's that does not parse; shown with a caret under `text[start:end]`."""

    def __init__(self, message: str, text: str, span: tuple[int, int], hint: str = "") -> None:
        super().__init__(message, hint)
        self.text = text
        self.span = span

    def report(self) -> str:
        marked = [f"    {line}" for line in _marked(self.text, *self.span)]
        return "\n".join([*_lines(self.message), *marked, *_lines(self.hint and f"hint: {self.hint}")])


class SiteError(SpankContainerError):
    """The site's administrator can put it right: a bad configuration, a missing tool."""

    exit_code = 78


class NodeError(SpankContainerError):
    """The kernel or a disk of this node refused an operation."""

    exit_code = 71

    @classmethod
    def from_os_error(cls, doing: str, error: OSError, path: str | PurePath = "") -> NodeError:
        """`doing` is what was tried, in words: "mounting the image"."""
        where = f" [{path}]" if str(path) else ""
        return cls(f"{doing}: {os.strerror(error.errno or 0)}{where}")


class BusyError(SpankContainerError):
    """A lock or a registry did not answer in time; trying again may help."""

    exit_code = 75


def _lines(text: str) -> list[str]:
    return [visible(line.replace("\t", " ")) for line in text.replace("\r\n", "\n").split("\n")] if text else []


def visible(text: str) -> str:
    """A control character would move the terminal's cursor, and the caret with it; a lone surrogate cannot be sent."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _marked(text: str, start: int, end: int) -> tuple[str, str]:
    """As much of `text` as fits on a line, and a line that marks what stands from `start` to `end` in it."""
    end = max(start, end)
    first = max(0, min(start - _LONGEST_SHOWN // 2, len(text) - _LONGEST_SHOWN))
    last = min(len(text), first + _LONGEST_SHOWN)
    before, span, after = (visible(text[a:b]) for a, b in [(first, start), (start, min(end, last)), (end, last)])
    before = f"...{before}" if first else before
    after = f"{after}..." if last < len(text) else after
    return before + span + after, " " * _width(before) + "^" + "~" * (_width(span) - 1)


def _width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else unicodedata.category(c) not in {"Mn", "Me"} for c in text
    )

"""Errors, by who must act.

That is the whole difference on a node: a UserError fails the job and leaves the node alone; a SiteError or a
NodeError takes the node out of service. Every error says what was tried and why it failed; `hint` says what to do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath


class SpankContainerError(Exception):
    """The base: `message` is one sentence, `hint` says what to do next, `exit_code` is sysexits(3)'s."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def report(self) -> str:
        """The message and the hint as the user sees them, without a trailing newline."""
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


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
        start, end = self.span
        # A control character in hostile text would move the terminal's cursor, and the caret with it.
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in self.text)
        marker = " " * start + "^" + "~" * max(0, end - start - 1)
        lines = [self.message, f"    {shown}", f"    {marker}"]
        return "\n".join([*lines, f"hint: {self.hint}"] if self.hint else lines)


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

"""Try what may be refused: the value, or None after a refusal that is fit to be shown; nothing else may come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from spank_container.errors import ParseError, SpankContainerError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def attempt(parse: Callable[[], T], refusal: type[SpankContainerError]) -> T | None:
    """What `parse` returns, or None where it raises `refusal`, whose report is then looked at."""
    try:
        return parse()
    except refusal as error:
        caught = error
    check_report(caught)
    return None


def check_report(error: SpankContainerError) -> None:
    lines = error.report().split("\n")
    assert lines[0]
    assert all(line.isprintable() for line in lines)
    assert "".join(lines).encode()
    if isinstance(error, ParseError):
        check_caret(error, lines)


def check_caret(error: ParseError, lines: list[str]) -> None:
    """The span is in the text, or just behind it, where something is missing; and the caret is on a line of its own."""
    start, end = error.span
    assert 0 <= start <= len(error.text)
    assert start <= end <= len(error.text) + 1
    assert max(map(len, lines)) < 200
    assert lines[-1].startswith("hint: ")
    assert lines[-2].strip(" ~") == "^"

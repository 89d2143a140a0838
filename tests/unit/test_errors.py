"""What a user sees of an error: the caret stands under what is wrong, whatever the text is made of."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from spank_container.errors import BusyError, NodeError, ParseError, SiteError, SpankContainerError, UserError


def report(text: str, start: int, end: int) -> list[str]:
    """The two lines between the message and the hint."""
    first, *lines, last = ParseError("it is wrong", text, (start, end), "do better").report().split("\n")
    assert (first, last) == ("it is wrong", "hint: do better")
    return lines


def test_the_exit_status_says_who_must_act() -> None:
    codes = {kind: kind.exit_code for kind in (SpankContainerError, UserError, SiteError, NodeError, BusyError)}
    assert list(codes.values()) == [70, 64, 78, 71, 75]
    assert ParseError.exit_code == UserError.exit_code


def test_a_message_and_a_hint() -> None:
    assert UserError("no").report() == "no"
    assert UserError("no", "yes").report() == "no\nhint: yes"
    assert str(UserError("no", "yes")) == "no"


def test_several_lines_stay_so() -> None:
    assert SiteError("wrong\r\n\ta: b\n\n", "see\nthere").report() == "wrong\n a: b\n\n\nhint: see\nthere"


@pytest.mark.parametrize("bad", ["\x1b", "\0", "\r", "\x85", "\u2028", "\u202e", "\udcff"])
def test_a_terminal_obeys_nothing_in_a_report(bad: str) -> None:
    assert NodeError(f"m{bad}", f"h{bad}").report() == "m\ufffd\nhint: h\ufffd"
    assert ParseError(f"m{bad}", f"t{bad}", (0, 2), f"h{bad}").report() == "m\ufffd\n    t\ufffd\n    ^~\nhint: h\ufffd"


def test_a_node_error_names_the_kernels_reason() -> None:
    error = OSError(errno.ENOSPC, "anything")
    assert NodeError.from_os_error("mounting the image", error, Path("/x")).report() == (
        "mounting the image: No space left on device [/x]"
    )
    assert NodeError.from_os_error("forking", error).report() == "forking: No space left on device"
    assert NodeError.from_os_error("reading", OSError()).report() == "reading: Success"


def test_the_caret() -> None:
    assert report("/a:/b:x", 6, 7) == ["    /a:/b:x", "          ^"]
    assert report("/a:/bcd", 3, 7) == ["    /a:/bcd", "       ^~~~"]


def test_the_caret_may_stand_behind_the_text() -> None:
    assert report("app:", 4, 5) == ["    app:", "        ^"]
    assert report("app:", 99, 100) == ["    app:", "        ^"]
    assert report("", 0, 1) == ["    ", "    ^"]
    assert report("app", 2, 1) == ["    app", "      ^"]


def test_the_caret_counts_columns_not_characters() -> None:
    assert report("/日本:/x!", 4, 7) == ["    /日本:/x!", "          ^~~"]
    assert report("/日本:/x", 1, 3) == ["    /日本:/x", "     ^~~~"]
    assert report("/e\u0301:x", 4, 5) == ["    /e\u0301:x", "       ^"]
    assert report("\u0301", 0, 1) == ["    \u0301", "    ^"]


def test_what_cannot_be_printed_takes_one_column() -> None:
    assert report("a\tb\x1bc", 4, 5) == ["    a\ufffdb\ufffdc", "        ^"]


def test_a_long_text_is_cut_round_the_span() -> None:
    assert report("a" * 72, 0, 1) == ["    " + "a" * 72, "    ^"]
    assert report("a" * 73, 0, 1) == ["    " + "a" * 72 + "...", "    ^"]
    text, marker = report("a" * 60_000 + "b" + "c" * 60_000, 60_000, 60_001)
    assert text == "    ..." + "a" * 36 + "b" + "c" * 35 + "..."
    assert text[marker.index("^")] == "b"
    assert report("x" * 100 + "!", 100, 101) == ["    ..." + "x" * 71 + "!", " " * 78 + "^"]
    assert report("a" * 1000, 0, 1000) == ["    " + "a" * 72 + "...", "    ^" + "~" * 71]

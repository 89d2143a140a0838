from __future__ import annotations

import json
import sys

import pytest

from spank_container.doctor.findings import Finding, exit_code, failure, ok, to_json, to_text, warning

FINE = ok("kernel", "6.1.0")
ODD = warning("image [store]", "there is none yet", "spank-container pull makes it")
WRONG = failure("plugin", "there is none", "spank-container install")


@pytest.mark.parametrize(("findings", "status"), [([], 0), ([FINE], 0), ([FINE, ODD], 0), ([WRONG, ODD], 78)])
def test_only_failures_make_the_status(findings: list[Finding], status: int) -> None:
    assert exit_code(findings) == status


def test_plain_lines_say_what_to_do_below() -> None:
    assert to_text([FINE, ODD], terminal=False) == (
        "ok      kernel: 6.1.0\nwarning image [store]: there is none yet\n        to do: spank-container pull makes it"
    )


def test_a_terminal_gets_a_table_that_takes_nothing_for_markup() -> None:
    text = to_text([FINE, ODD, WRONG], terminal=True)
    assert "\x1b[32mok" in text
    assert "image [store]" in text


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert to_text([FINE], terminal=True) == "ok      kernel: 6.1.0"


def test_json_is_one_array_of_objects() -> None:
    assert json.loads(to_json([ODD])) == [
        {
            "level": "warning",
            "what": "image [store]",
            "why": "there is none yet",
            "to_do": "spank-container pull makes it",
        }
    ]

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spank_container import log as module
from spank_container.log import log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_one_paragraph_for_each_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_FILE", tmp_path / "log")
    log("prolog job=12 status=0")
    log("no\nhint: \udcff\ud800")
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} prolog job=12 status=0", first)
    assert second.endswith(" no")
    assert third == "    hint: \\udcff\\ud800"


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_FILE", tmp_path)
    log("lost")
    monkeypatch.setattr(module, "LOG_FILE", tmp_path / "none" / "log")
    log("lost")

"""The blob cache has a limit, and nobody's blobs go while a pull counts on them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spank_container.images.blob_cache import in_use, touch, trim

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three blobs of a kilobyte each; a is the oldest. What skopeo leaves beside them is no blob."""
    folder = tmp_path / "blobs"
    with in_use(folder):
        (folder / "sha256").mkdir()
        (folder / ".sha256-1234").mkdir()
    for age, name in enumerate("cba"):
        (folder / "sha256" / name).write_bytes(bytes(1024))
        os.utime(folder / "sha256" / name, (1000 - age, 1000 - age))
    return folder


def names(folder: Path) -> str:
    return "".join(sorted(path.name for path in (folder / "sha256").iterdir()))


@pytest.mark.parametrize(("limit", "left"), [(4096, "abc"), (3072, "abc"), (3071, "bc"), (1024, "c"), (0, "")])
def test_the_oldest_go_until_the_rest_fits(folder: Path, limit: int, left: str) -> None:
    assert trim(folder, limit) == 1024 * (3 - len(left))
    assert names(folder) == left


def test_what_was_used_again_stays(folder: Path) -> None:
    touch([folder / "sha256/a"])
    trim(folder, 1024)
    assert names(folder) == "a"


def test_nothing_goes_while_another_process_pulls(folder: Path) -> None:
    script = f"""
from pathlib import Path
from spank_container.images.blob_cache import in_use
with in_use(Path({str(folder)!r})):
    print("pulling", flush=True)
    input()
"""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"pulling\n"
        with in_use(folder):  # pulls do not wait for each other
            assert trim(folder, 0) == 0
        assert names(folder) == "abc"
        other.communicate(b"\n")
    assert trim(folder, 0) == 3072

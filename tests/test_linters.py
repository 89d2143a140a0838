"""Formatters and linters as tests, each over all of the tree: what a reviewer should not have to say.

A tool that is missing is a skip with that reason, and in CI a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tool(name: str) -> str:
    """The path of a program, of this very virtual environment where it has one."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{name} is not installed")
    return found


def check(name: str, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [tool(name), *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{name}: status {done.returncode}\n{done.stdout}", pytrace=False)


def sources() -> list[Path]:
    """What is in the repository or will be: tracked, or not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in set(listed.stdout.split("\0")) if name and (path := ROOT / name).is_file()]


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100).split()
    return first[:1] != [] and first[0].startswith(b"#!") and first[-1].rsplit(b"/")[-1] in {b"sh", b"bash"}


def test_ruff_format() -> None:
    check("ruff", "format", "--check", "--quiet", "--diff", ".")


def test_ruff() -> None:
    check("ruff", "check", "--output-format=concise", ".")


STRICT = ("--strict", "--explicit-package-bases", "--namespace-packages")  # no folder of tests has an __init__.py


def test_mypy() -> None:
    folders = [folder for folder in ("spank_container", "sandbox", "bench", "tests") if (ROOT / folder).is_dir()]
    check("mypy", *STRICT, *folders, MYPYPATH="tests")


def test_shellcheck() -> None:
    scripts = sorted(str(path.relative_to(ROOT)) for path in sources() if is_shell(path))
    assert "prolog/50-spank-container" in scripts
    check("shellcheck", *scripts)


def test_clang_format() -> None:
    files = sorted(str(path.relative_to(ROOT)) for path in sources() if path.suffix in {".c", ".h"})
    assert "spank_container/plugin/spank_container.c" in files
    check("clang-format", "--dry-run", "-Werror", *files)

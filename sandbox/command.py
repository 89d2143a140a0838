"""The sandbox's only caller of other programs.

Quiet while things go well; a program that fails is shown with its command line, so that it can be run again by hand.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Completed = subprocess.CompletedProcess[str]


class SandboxError(Exception):
    """Something that the developer can read and act on; shown as one sentence, without a traceback."""


def attempt(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run `argv` and keep what it prints; its status is the caller's to judge."""
    return subprocess.run(
        [str(word) for word in argv],
        input=stdin or "",
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        env=environment,
        check=False,
    )


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run `argv`, which must succeed, and return its standard output."""
    done = attempt(argv, stdin=stdin, cwd=cwd, environment=environment)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()[-4000:]
        raise SandboxError(f"status {done.returncode}: {shlex.join(done.args)}\n{said}")
    return done.stdout


def attached(argv: Sequence[str | Path], *, cwd: Path | None = None) -> int:
    """Run `argv` on our own terminal or pipes and return its status."""
    return subprocess.run([str(word) for word in argv], cwd=cwd, check=False).returncode


def say(text: str) -> None:
    """Progress goes to standard error: standard output belongs to the command that a user runs in the cluster."""
    import sys  # noqa: PLC0415

    print(text, file=sys.stderr, flush=True)

"""The only caller of other programs.

A fixed environment, no shell, a time limit, standard input closed; the output is kept and shown when the program
fails. Nothing from a user's environment reaches a program that root starts (CVE-2017-15566).
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError, SiteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIXED_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Output:
    """What a program that ended with status 0 printed."""

    stdout: bytes
    stderr: bytes


class ProgramFailedError(NodeError):
    """A program ended with another status than 0; `stderr` is what it said."""

    def __init__(self, argv: Sequence[str], status: int, stderr: bytes) -> None:
        self.status = status
        self.stderr = stderr.decode(errors="replace").strip()
        super().__init__(
            f"{argv[0]} failed with status {status}: {self.stderr or 'it said nothing'}",
            hint=f"to see it again: {shlex.join(argv)}",
        )


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60,
    environment: Mapping[str, str] = FIXED_ENVIRONMENT,
    pass_fds: Sequence[int] = (),
) -> Output:
    """Run `argv` to its end and return what it printed.

    Raises ProgramFailedError when its status is not 0, SiteError when it is not installed and BusyError after
    `timeout` seconds, when it is killed.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=timeout,
            pass_fds=pass_fds,
            check=False,
        )
    except FileNotFoundError as error:
        raise SiteError(f"{argv[0]} is not installed", hint="spank-container check lists what is needed") from error
    except subprocess.TimeoutExpired as error:
        raise BusyError(f"{argv[0]} did not end within {timeout:g} s: {shlex.join(argv)}") from error
    if done.returncode != 0:
        raise ProgramFailedError(argv, done.returncode, done.stderr)
    return Output(done.stdout, done.stderr)

"""The only caller of other programs.

A fixed environment, no shell, a time limit, standard input empty; the output is kept and shown when the program
fails. Nothing from a user's environment reaches a program that root starts (CVE-2017-15566).
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from spank_container.errors import BusyError, NodeError, SiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIXED_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
_KEPT = 16 << 10


@dataclass(frozen=True, slots=True)
class Output:
    """What a program that ended with status 0 printed."""

    stdout: bytes
    stderr: bytes


class ProgramFailedError(NodeError):
    """A program ended with another status than 0, which is -N when signal N ended it; `stderr` is what it said."""

    def __init__(self, argv: Sequence[str], status: int, stderr: bytes) -> None:
        self.status = status
        self.stderr = stderr.decode(errors="replace").strip()
        how = f"failed with status {status}" if status > 0 else f"was killed by signal {-status}"
        super().__init__(
            f"{argv[0]} {how}: {self.stderr or 'it said nothing'}",
            hint=f"to see it again: {shlex.join(argv)}",
        )


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60,
    environment: Mapping[str, str] = FIXED_ENVIRONMENT,
    pass_fds: Sequence[int] = (),
    stdin: bytes = b"",
) -> Output:
    """Run `argv` to its end and return what it printed; it reads `stdin`, so that secrets are no arguments.

    Raises ProgramFailedError when its status is not 0, SiteError when it is not installed and BusyError after
    `timeout` seconds, when it is killed.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=timeout,
            pass_fds=pass_fds,
            check=False,
        )
    except OSError as error:
        raise _not_started(argv, error) from error
    except subprocess.TimeoutExpired as error:
        raise BusyError(f"{argv[0]} did not end within {timeout:g} s: {shlex.join(argv)}") from error
    if done.returncode != 0:
        raise ProgramFailedError(argv, done.returncode, done.stderr)
    return Output(done.stdout, done.stderr)


@contextmanager
def reading_from(argv: Sequence[str], source: int) -> Iterator[IO[bytes]]:
    """What `argv` prints while it reads the descriptor `source`.

    A body that reads to the end learns how the program ended, as with `run`; one that leaves before does not care, and
    the program is killed.
    """
    with _program(argv, source, subprocess.PIPE) as (process, check):
        printed = cast("IO[bytes]", process.stdout)
        yield printed
        if not printed.read(1):
            check()


@contextmanager
def writing_to(argv: Sequence[str], environment: Mapping[str, str] = FIXED_ENVIRONMENT) -> Iterator[IO[bytes]]:
    """What is written here, `argv` reads; after the body it has ended well, or ProgramFailedError says why not."""
    with _program(argv, subprocess.PIPE, subprocess.DEVNULL, environment) as (process, check):
        wanted = cast("IO[bytes]", process.stdin)
        try:
            yield wanted
            wanted.close()
        except BrokenPipeError:
            # It ended early, and knows better than the pipe why.
            check()
            raise
        check()


@contextmanager
def leashed(
    argv: Sequence[str], environment: Mapping[str, str] = FIXED_ENVIRONMENT
) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A program in a session of its own, for as long as the body runs: what it reads, and what it prints.

    A body that reads to the end learns how the program ended, as with `run`. Whatever it started dies with it; that it
    dies with us is its own business: its standard input ends then.
    """
    with _program(argv, subprocess.PIPE, subprocess.PIPE, environment, session=True) as (process, check):
        wanted, printed = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        yield wanted, printed
        if select.select([printed], [], [], 0)[0] and not printed.read(1):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            _kill(process, session=True)  # what it left, while the number is still its own
            check()


@contextmanager
def _program(
    argv: Sequence[str],
    stdin: int,
    stdout: int,
    environment: Mapping[str, str] = FIXED_ENVIRONMENT,
    *,
    session: bool = False,
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """The program, and what waits for its end; it is killed unless it has ended when the body is through."""
    said = os.memfd_create("stderr")  # a pipe that nobody reads would stop a program that says much
    try:
        process = subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=said, env=environment, start_new_session=session
        )
    except OSError as error:
        os.close(said)
        raise _not_started(argv, error) from error

    def check() -> None:
        if process.wait() != 0:
            start = max(0, os.fstat(said).st_size - _KEPT)
            raise ProgramFailedError(argv, process.returncode, os.pread(said, _KEPT, start))

    try:
        yield process, check
    finally:
        _kill(process, session=session)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)
        os.close(said)


def _kill(process: subprocess.Popen[bytes], *, session: bool) -> None:
    if session and process.returncode is None:  # until it is waited for, the number is its own, dead or alive
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _close(pipe: IO[bytes] | None) -> None:
    """What was not yet written to a dead program is lost with it."""
    if pipe is not None:
        with suppress(BrokenPipeError):
            pipe.close()


def _not_started(argv: Sequence[str], error: OSError) -> SiteError | NodeError:
    if isinstance(error, FileNotFoundError):
        return SiteError(f"{argv[0]} is not installed", hint="spank-container check lists what is needed")
    return NodeError.from_os_error(f"starting {argv[0]}", error)

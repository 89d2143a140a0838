"""A mount namespace, built by a child process and kept alive by a pin.

The child dies with its parent, so a killed Prolog leaves no process; the namespace dies with the child, unless the
parent has bound it to a file by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from typing import TYPE_CHECKING

from spank_container import errors
from spank_container.errors import BusyError, NodeError, SpankContainerError
from spank_container.kernel import mounts, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUILT = b"built"


@contextlib.contextmanager
def built(build: Callable[[], None], timeout: float) -> Iterator[int]:
    """Run `build` in a child process, which unshares when it likes; yields the child's pid when it has finished.

    The child is gone when the block ends. An error of `build`'s is raised here, as what it was. Raises BusyError
    after `timeout` seconds: a source on a file system that does not answer.
    """
    report, child_report = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(build, child_report, parent)
    os.close(child_report)
    try:
        _wait(report, timeout)
        yield pid
    finally:
        os.close(report)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _child(build: Callable[[], None], report: int, parent: int) -> None:
    status = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else the parent died before the line above could notice
            os.write(report, _outcome(build))
            signal.pause()
    finally:
        os._exit(status)


def _outcome(build: Callable[[], None]) -> bytes:
    try:
        build()
    except SpankContainerError as error:
        return _encode(error)
    except OSError as error:
        return _encode(NodeError.from_os_error("building the container", error, error.filename or ""))
    return _BUILT


def _encode(error: SpankContainerError) -> bytes:
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return json.dumps([kind.__name__, error.message, error.hint]).encode()


def _wait(report: int, timeout: float) -> None:
    ready, _, _ = select.select([report], [], [], timeout)
    if not ready:
        raise BusyError(f"building the container took more than {timeout:g} s", hint="is a file system hanging?")
    said = os.read(report, select.PIPE_BUF)
    if said == _BUILT:
        return
    if not said:
        raise NodeError("building the container: the process that builds it died")
    kind, message, hint = json.loads(said)
    raise getattr(errors, kind)(message, hint)


def unshare_mounts() -> None:
    """Leave for a mount namespace of our own, from which nothing propagates back."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount_setattr(syscalls.AT_FDCWD, path="/", propagation=syscalls.MS_PRIVATE, recursive=True)


def pin(pid: int, path: str) -> None:
    """Keep the mount namespace of process `pid` alive through the file `path`.

    The file's own mount must be private, and must not be copied into the namespace that it pins.
    """
    mounts.bind(f"/proc/{pid}/ns/mnt", path)


def enter_root(root: int) -> None:
    """Make the mount that the descriptor holds the root, and let go of the old one; pivot_root(2), "." twice."""
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")

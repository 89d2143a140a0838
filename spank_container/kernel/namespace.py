"""A mount namespace, built by a child process and kept alive by a pin.

The child dies with its parent, so a killed Prolog leaves no process; the namespace dies with the child, unless the
parent has bound it to a file by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from spank_container import errors
from spank_container.errors import BusyError, NodeError, SpankContainerError
from spank_container.kernel import mounts, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUILT = b"built"
_NS_GET_MNTNS_ID = 0x8008B705


@contextlib.contextmanager
def built(build: Callable[[], None], timeout: float) -> Iterator[int]:
    """Run `build` in a child process, which unshares when it likes; yields the child's pid when it has finished.

    The child is gone when the block ends. An error of `build`'s is raised here, as what it was. Raises BusyError
    after `timeout` seconds: a source on a file system that does not answer.
    """
    report, child_report = os.pipe2(os.O_CLOEXEC)
    child_leash, leash = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(leash)
        _child(build, child_report, child_leash)
    os.close(child_report)
    os.close(child_leash)
    try:
        _wait(report, timeout)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(report)
        os.close(leash)


def _child(build: Callable[[], None], report: int, leash: int) -> None:
    """Ends when the parent lets go of the leash, by dying too: PR_SET_PDEATHSIG is lost when the user changes."""
    status = 1
    try:
        os.write(report, _outcome(build))
        os.read(leash, 1)
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
    """Leave for a mount namespace of our own, from which nothing propagates back, and which ours can pin.

    The kernel refuses, with ELOOP, to mount a namespace in one with a higher number, since that could be a loop; from
    6.18 on each CPU gives out numbers from a batch of its own (cookie.h), so a new namespace may get a lower one than
    an old one. On the CPU where the old one was made it gets a higher one.
    """
    old = _number()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    for cpu in range(os.cpu_count() or 1):
        if _number() >= old:
            break
        with contextlib.suppress(OSError):  # a CPU that is offline, or in another cpuset
            os.sched_setaffinity(0, {cpu})
        syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount_setattr(syscalls.AT_FDCWD, path="/", propagation=syscalls.MS_PRIVATE, recursive=True)


def join_host(path: str) -> None:
    """Leave a copy of the host's mounts for the host's own; anywhere else do nothing.

    With EntireStepInNS of Slurm's job_container.conf a slurmstepd is in such a copy. It has none of our pins, since the
    kernel copies no mount of a mount namespace (copy_tree() in fs/namespace.c). `path` is a mount of ours: where pid 1
    has another there, as where slurmd is in a container itself, this is no copy of the host's.
    """
    hosts = "/proc/1/ns/mnt"
    try:
        here = os.path.samefile(hosts, "/proc/self/ns/mnt")
        ours = os.path.samefile(f"/proc/1/root{path}", path)
    except OSError:
        return
    if ours and not here:
        with mounts.closing(os.open(hosts, os.O_RDONLY | os.O_CLOEXEC)) as namespace:
            syscalls.setns(namespace, syscalls.CLONE_NEWNS)


def _number() -> int:
    """The number of this process's mount namespace; 0 before Linux 6.12, which does not tell, and counts upwards."""
    with mounts.closing(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as own:
        answer = bytearray(8)
        try:
            fcntl.ioctl(own, _NS_GET_MNTNS_ID, answer)
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)


def pin(pid: int, path: str) -> None:
    """Keep the mount namespace of process `pid` alive through the file `path`.

    The file's own mount must be private, and must not be copied into the namespace that it pins.
    """
    mounts.bind(f"/proc/{pid}/ns/mnt", path)


def end_members(path: str, timeout: float = 10) -> None:
    """Kill every process in the namespace that is pinned at `path`; nothing pinned there is no error.

    Raises NodeError when one does not die within `timeout` seconds.
    """
    try:
        pinned = os.stat(path)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + timeout
    while members := [pid for pid in _processes() if _kill_member(pid, pinned)]:
        if time.monotonic() > deadline:
            raise NodeError(f"processes of the container do not die: {members}", hint="do they wait for a disk?")
        time.sleep(0.01)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _kill_member(pid: int, pinned: os.stat_result) -> bool:
    """Whether `pid` was a member. By a descriptor, since its number may be another process's a moment later."""
    if not _is_member(pid, pinned):
        return False
    with contextlib.suppress(ProcessLookupError), mounts.closing(os.pidfd_open(pid)) as process:
        if _is_member(pid, pinned):
            signal.pidfd_send_signal(process, signal.SIGKILL)
    return True


def _is_member(pid: int, pinned: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/ns/mnt"), pinned)
    except OSError:  # it has ended, if only just
        return False


def enter_root(root: int) -> None:
    """Make the mount that the descriptor holds the root, and let go of the old one; pivot_root(2), "." twice."""
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")

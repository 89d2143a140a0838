"""Fault injection: a Prolog that dies anywhere leaves nothing that the Epilog or the next Prolog does not take away."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kernel.miniature import Node, in_container, isolated
from kernel.test_tmp import JOB, on_disk, set_tmp

from spank_container import state

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.kernel
# begin and done of: the image, the cache and its device, /tmp and its name, the pin.
JOURNAL_ENTRIES = 10


def volumes(node: Node) -> tuple[str, ...]:
    return (f"{node.path}/work:/data", f"{node.path}/work:/mnt:perNodeCache=size=300M")


def everything(node: Node) -> dict[str, str]:
    """The environment of a job that has one of each host operation, and writes to its root in the cache."""
    set_tmp(node)
    return node.environment(JOB, volumes=volumes(node), writable="/mnt")


def assert_clean(node: Node) -> None:
    node.wait_until_clean()
    assert on_disk() == []


def die_in_child(act: Callable[[], object]) -> int:
    """The signal that ended the child which ran `act`, or 0."""
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def dying_journal(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    """Kill the process right after it has written its n-th journal entry."""
    append = state.Journal._append
    left = iter(range(entries - 1))

    def append_and_die(self: state.Journal, entry: dict[str, object]) -> None:
        append(self, entry)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(state.Journal, "_append", append_and_die)


def wait_until_alone() -> None:
    """No process that builds a container outlives the Prolog that it builds for: all share this one's program.

    So does pytest itself, our parent, which may well be a child of PID 1.
    """
    own = Path("/proc/self/cmdline").read_bytes()
    deadline = time.monotonic() + 30
    orphans = ["1"]
    while orphans and time.monotonic() < deadline:
        found = [status.parent.name for status in Path("/proc").glob("[0-9]*/status") if _is_orphan(status, own)]
        orphans = [pid for pid in found if int(pid) != os.getppid()]
        time.sleep(0.01)
    assert {pid: Path(f"/proc/{pid}/stack").read_text() for pid in orphans} == {}


def _is_orphan(status: Path, cmdline: bytes) -> bool:
    try:
        return "\nPPid:\t1\n" in status.read_text() and (status.parent / "cmdline").read_bytes() == cmdline
    except OSError:  # it ended meanwhile
        return False


@isolated
@pytest.mark.parametrize("entries", range(1, JOURNAL_ENTRIES + 1))
def test_epilog_after_a_kill_at_each_journal_entry(node: Node, monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    environment = everything(node)
    with monkeypatch.context() as patch:
        dying_journal(patch, entries)
        assert die_in_child(lambda: node.prolog(environment)) == signal.SIGKILL
    node.epilog(environment)
    assert_clean(node)


@isolated
@pytest.mark.parametrize("entries", range(1, JOURNAL_ENTRIES + 1))
def test_prolog_after_a_kill_at_each_journal_entry(node: Node, monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    environment = everything(node)
    with monkeypatch.context() as patch:
        dying_journal(patch, entries)
        die_in_child(lambda: node.prolog(environment))
    directory = node.prolog(environment)
    assert in_container(directory, "cat /etc/name") == "one"
    node.epilog(environment)
    assert_clean(node)


@isolated
def test_kills_at_random_times_of_prolog_and_epilog(node: Node) -> None:
    environment = everything(node)
    started = time.monotonic()
    node.prolog(environment)
    whole = time.monotonic() - started
    node.epilog(environment)
    dice = random.Random(20160510)  # noqa: S311  # the same kills every time, as far as the clock allows
    killed = 0
    for act in (node.prolog, node.epilog) * 15:
        pid = os.fork()
        if pid == 0:
            act(environment)
            os._exit(0)
        time.sleep(dice.uniform(0, whole if act == node.prolog else whole / 8))
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert killed > 5
    node.epilog(environment)
    assert_clean(node)
    wait_until_alone()


@isolated
def test_processes_whose_slurmstepd_was_killed(node: Node) -> None:
    """They go with the container, those of another job and those on the host do not."""
    own, others = node.environment(volumes=volumes(node)), node.environment(8)
    ours, theirs = [start_waiting("nsenter", f"--mount={node.prolog(job).pin}") for job in (own, others)]
    hosts = start_waiting()
    node.epilog(own)
    assert ours.wait(10) == -signal.SIGKILL
    assert (theirs.poll(), hosts.poll()) == (None, None)
    node.epilog(others)
    assert theirs.wait(10) == -signal.SIGKILL
    node.wait_until_clean()
    assert hosts.poll() is None
    hosts.kill()


def start_waiting(*enter: str) -> subprocess.Popen[bytes]:
    """A shell that is where `enter` leads, and waits there."""
    command = [*enter, "/bin/sh", "-c", "echo here; read line"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"here\n"
    return process

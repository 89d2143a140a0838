"""Who a user is, by the name service: passwd and group of nsswitch.conf(5), asked with a time limit.

A directory that does not answer keeps its caller inside the C library for minutes, where no handler of Python's runs
and from where no thread comes back. So a child process asks, and says what it has heard line by line; it is killed when
the time is over, and a module of the name service that crashes takes only the child with it.

What is decided here: without the account and the numbers of its groups there is no container, since it would lack
the home directory, and folders that the user may read would be refused. A name that is missing costs only the name.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from spank_container.errors import BusyError
from spank_container.log import log
from spank_container.values.host_facts import Account, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spank_container.values.job import Job

_HINT = "submit again; if it stays so, tell your administrators: `getent passwd` does not answer on this node"


def identify(job: Job, seconds: float) -> tuple[Account, tuple[Group, ...]]:
    """The job's user with the job's own ids, and the groups: the primary one first, then by number.

    A user whom this node does not know has what Slurm says. Raises BusyError when the name service does not answer.
    """
    answers, silence = _told(lambda: _ask(job), seconds)
    if len(answers) < 2:
        raise BusyError(f"looking up user {job.uid}: the name service {silence}", _HINT)
    account, numbers, *named = answers
    if len(named) < len(numbers):
        log(f"job {job.id}: {len(numbers) - len(named)} groups have no name: the name service {silence}")
    names = dict(named)
    return Account(*account), tuple(Group(names.get(number) or f"group{number}", number) for number in numbers)


def _ask(job: Job) -> Iterator[list[Any]]:
    """The account's members, the groups' numbers, then a number and a name for each group."""
    account = _account(job)
    yield account
    name, gid = account[0], job.gid
    others = {*os.getgrouplist(name, gid)} - {gid}
    numbers = [gid, *sorted(others)]
    yield numbers
    for number in numbers:
        yield [number, _group_name(number)]


def _account(job: Job) -> list[Any]:
    try:
        entry = pwd.getpwuid(job.uid)
    except KeyError:
        return [job.user or str(job.uid), job.uid, job.gid, "", "/", "/bin/sh"]
    # The job's group comes from its credential, and may be another than the account's: sbatch --gid.
    return [entry.pw_name, job.uid, job.gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell]


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _told(ask: Callable[[], Iterator[object]], seconds: float) -> tuple[list[Any], str]:
    """What `ask` yields within the time, and why there is no more."""
    answers, pipe = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(ask, pipe, seconds)
    os.close(pipe)
    try:
        said, all_said = _read(answers, seconds)
    finally:
        os.close(answers)
        _end(pid)
    # The last line is empty, or torn.
    lines = [json.loads(line) for line in said.split(b"\n")[:-1]]
    return lines, "failed" if all_said else f"did not answer within {seconds:g} s"


def _child(ask: Callable[[], Iterator[object]], pipe: int, seconds: float) -> None:
    try:
        _let_go_of_all_but(pipe)
        # Ends it where no parent is left to do so, and where one is, not before that.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        for answer in ask():
            os.write(pipe, json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)


def _let_go_of_all_but(pipe: int) -> None:
    """slurmd waits until nobody holds the Prolog's output; and no module shall write into a file of ours."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))


def _read(answers: int, seconds: float) -> tuple[bytes, bool]:
    """All that is said within the time, and whether that is all."""
    said = bytearray()
    deadline = time.monotonic() + seconds
    while select.select([answers], [], [], max(0, deadline - time.monotonic()))[0]:
        heard = os.read(answers, 1 << 16)
        if not heard:
            return bytes(said), True
        said += heard
    return bytes(said), False


def _end(pid: int) -> None:
    """Not for ever: a process that waits for a disk dies later, and is then reaped by the node's init."""
    os.kill(pid, signal.SIGKILL)
    process = os.pidfd_open(pid)
    select.select([process], [], [], 1)
    os.close(process)
    os.waitpid(pid, os.WNOHANG)

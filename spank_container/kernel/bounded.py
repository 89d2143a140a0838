"""Opening what may never answer: a file server that is down, or a user's FUSE program that means to hang.

A child process opens it and hands over the descriptor; who waits for such a file system can be killed, and a Prolog
that hangs takes its node out of service.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from spank_container.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable


def opened_within(seconds: float, opener: Callable[[], int], what: str) -> int:
    """The descriptor that `opener` gives, or its OSError; BusyError after so many seconds. `what` is for the message."""
    ours, childs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _open_and_send(opener, childs)
    with ours, childs:
        try:
            ready, _, _ = select.select([ours], [], [], seconds)
            if not ready:
                raise BusyError(f"{what} does not answer", hint="is a file system hanging?")
            failed, descriptors, _, _ = socket.recv_fds(ours, 4, 1, socket.MSG_CMSG_CLOEXEC)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if descriptors:
        return descriptors[0]
    number = int.from_bytes(failed, "little")
    raise OSError(number, os.strerror(number))


def _open_and_send(opener: Callable[[], int], to: socket.socket) -> None:
    try:
        socket.send_fds(to, [bytes(4)], [opener()])
    except OSError as error:
        to.send((error.errno or 0).to_bytes(4, "little"))
    finally:
        os._exit(0)

"""One virtual node: a process tree in namespaces of its own, over an overlay of the release's root.

A node is its processes. Its `unshare` process carries the node's name in its command line, which is how a node is
found again, and takes the node's init with it when it dies, and with that every process, mount and interface.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.command import Completed, SandboxError, attempt, run
from sandbox.state import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

BOOT = Path(__file__).with_name("boot.sh")
FOLDERS = STATE / "nodes"
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
# setsid: no child of ours, which we would have to wait for, and out of reach of the terminal's Ctrl-C, which is for the
# command that runs in the cluster.
DETACHED = ("setsid", "--fork", "unshare", *NAMESPACES, "--fork", "--kill-child")

# A login shell, as people have one on a real login node: it is what defines `module`.
LOGIN = ("bash", "-lc", 'cd; exec "$@"', "sandbox")


@dataclass(frozen=True, slots=True)
class Node:
    """A running node; `pid` is its init as this machine numbers it."""

    name: str
    pid: int

    def argv(self, command: Sequence[str], user: str = "root") -> list[str]:
        """The command line that runs `command` on this node as `user`, in a login environment."""
        become = ("setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env", "--")
        return [*self._enter(), *become, *LOGIN, *command]

    def run(self, command: Sequence[str], *, user: str = "root", stdin: str | None = None) -> Completed:
        """Run `command` as `user`; its status is the caller's to judge."""
        return attempt(self.argv(command, user), stdin=stdin)

    def sh(self, script: str, *, stdin: str | None = None) -> str:
        """Run an sh `script` as root, without a login environment; it must succeed."""
        return run([*self._enter(), "sh", "-euc", script], stdin=stdin)

    @property
    def root(self) -> Path:
        """The node's root as this machine sees it."""
        return Path(f"/proc/{self.pid}/root")

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.pid), *NAMESPACES, "--root", "--wd")


def start(name: str, lower: Sequence[Path], data: Path) -> IO[str]:
    """Begin to start a node; `started` waits for it. Apart, so that many nodes start at the same time."""
    layers = ":".join(str(layer) for layer in lower)
    boot = ("sh", str(BOOT), str(FOLDERS / name), name, layers, str(data))
    with subprocess.Popen(
        [*DETACHED, *boot],
        stdin=subprocess.DEVNULL,
        stdout=(ends := os.pipe())[1],
        stderr=subprocess.STDOUT,
        cwd="/",
    ):
        os.close(ends[1])
    return os.fdopen(ends[0])


def started(name: str, said: IO[str]) -> Node:
    """The node, once its init runs in its own root."""
    with said:
        pid = said.readline()
        if not pid.strip().isdigit():
            raise SandboxError(f"node {name} does not start: {pid}{said.read()}")
    return Node(name, int(pid))


def holders(folders: Path = FOLDERS) -> Iterator[tuple[str, int]]:
    """Name and pid of the `unshare` process of every node of the cluster that lives, whoever started it."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = next((Path(word) for word in words if word.startswith(f"{folders}/")), None)
            if words[0] == "unshare" and folder:
                yield folder.name, int(process.name)


def find(name: str) -> Node | None:
    """The running node `name`."""
    for found, holder in holders():
        if found == name:
            inits = _children(holder)
            return Node(name, inits[0]) if inits else None
    return None


def inits() -> list[int]:
    """The init of every node of the cluster."""
    return [init for _, holder in holders() for init in _children(holder)]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill_all() -> None:
    """End every node of the cluster at once and wait until the kernel has taken them apart."""
    deadline = time.monotonic() + 20
    while left := [pid for _, pid in holders()]:
        if time.monotonic() > deadline:
            raise SandboxError(f"these nodes do not die: {left}")
        for holder in left:
            # The init first: its holder ends after it, and it ends after every other process of the node.
            for pid in _children(holder) or [holder]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)

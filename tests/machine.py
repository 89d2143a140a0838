"""What a cluster could leave behind on this machine, as values that can be compared."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import loops, node
from sandbox.cluster import DATA
from sandbox.state import CLUSTERS, NAME, STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

Lines = frozenset[str]


@dataclass(frozen=True, slots=True)
class Machine:
    mounts: Lines
    links: Lines
    named_namespaces: Lines
    loops: Lines
    processes: Lines
    state: bool

    def comes_back(self, seconds: float = 5) -> bool:
        """Whether the machine is as it was; other programs' short-lived mounts and processes may pass by."""
        deadline = time.monotonic() + seconds
        while (now := Machine.now()) != self:
            if time.monotonic() > deadline:
                assert now == self  # for pytest's comparison
                return False
            time.sleep(0.1)
        return True

    @classmethod
    def now(cls) -> Machine:
        return cls(
            mounts=frozenset(Path("/proc/self/mountinfo").read_text().splitlines()),
            links=_printed("ip", "-oneline", "link"),
            named_namespaces=_printed("ip", "netns"),
            loops=frozenset(loops.of_cluster(DATA, ())),
            processes=_processes(),
            state=STATE.exists(),
        )


def _printed(*argv: str) -> Lines:
    return frozenset(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines())


def _of_other_clusters() -> Iterator[str]:
    for name in CLUSTERS.glob("*"):
        if name.name != NAME:
            for _, holder in node.holders(name / "nodes"):
                with contextlib.suppress(OSError):
                    yield os.readlink(f"/proc/{holder}/ns/pid_for_children")


def _processes() -> Lines:
    """Those in another pid namespace than ours, but not in another cluster's."""
    found = set()
    not_left = {os.readlink("/proc/self/ns/pid"), *_of_other_clusters()}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "ns/pid") not in not_left:
                found.add((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone meanwhile, or a zombie, which is its parent's to collect
            continue
    return frozenset(found)

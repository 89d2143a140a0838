"""What a node knows that a plan depends on: gathered once, by lifecycle, and recorded with the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spank_container.values.volume import HostPath


SLURMS_OWN = ("/tmp", "/dev/shm")
"""What job_container/tmpfs, and namespace/tmpfs after it, give a job of its own."""


@dataclass(frozen=True, slots=True)
class Account:
    """One line of passwd(5)."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class Group:
    """One line of group(5), less its members."""

    name: str
    gid: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """`groups` are the account's own, the primary one first; `hosts` is one (name, CPUs) a node of the job;
    `support` is the folder that becomes /opt/spank-container/bin; `files` are those of the host's files that a container
    is given where the host has them; `tmp` tells each of `SLURMS_OWN` from all other folders, as DEVICE:INODE."""

    account: Account
    groups: tuple[Group, ...]
    hosts: tuple[tuple[str, int], ...]
    support: HostPath
    files: frozenset[HostPath] = frozenset()
    tmp: tuple[str, ...] = ("-", "-")

"""Acting as a user for a moment, in this process.

The effective ids change and with them the ids for files, so the kernel, and a root-squashing server, sees the user;
the real and saved ids stay root's, so the user can neither signal nor trace the process meanwhile (kill(2)).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Credentials:
    uid: int
    gid: int
    groups: tuple[int, ...]


def credentials(owner: Sequence[int]) -> Credentials:
    """As plans have them: uid, gid and groups; root's where there is none."""
    uid, gid, *groups = owner or (0, 0)
    return Credentials(uid, gid, tuple(groups))


@contextlib.contextmanager
def acting_as(user: Credentials) -> Iterator[None]:
    """Run the block with the file permissions of `user`; not for a process with several threads."""
    own_groups, own_gid, own_uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups(user.groups)
    try:
        os.setegid(user.gid)
        os.seteuid(user.uid)
        yield
    finally:
        os.seteuid(own_uid)
        os.setegid(own_gid)
        os.setgroups(own_groups)

"""Who calls, and who is meant by a name: accounts and groups by the gateway machine's name service."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spank_container.site_config import GatewayConfig

_LARGEST_ID = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Caller:
    """An account, by the kernel's or munged's word, with all of its groups."""

    uid: int
    gids: frozenset[int]
    is_admin: bool = False


def caller_of(uid: int, gid: int, config: GatewayConfig) -> Caller:
    """With the groups that a job of his would have, whatever he has given up in the process that calls."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # an account of another machine's
        return Caller(uid, frozenset({gid}), str(uid) in config.admins)
    gids = frozenset({gid, *os.getgrouplist(name, gid)})
    is_admin = name in config.admins or str(uid) in config.admins or bool(gids & _known_groups(config.admin_groups))
    return Caller(uid, gids, is_admin)


def uids_of(users: Iterable[str]) -> tuple[int, ...]:
    """Names or numbers; UserError for one that nobody has."""
    return tuple(sorted({_uid(user) for user in users}))


def gids_of(groups: Iterable[str]) -> tuple[int, ...]:
    """Likewise."""
    return tuple(sorted({_gid(group) for group in groups}))


def _uid(user: str) -> int:
    if _is_number(user):
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError) as error:
        raise UserError(f"there is no user {user!r}", hint="give names of accounts, or numbers") from error


def _gid(group: str) -> int:
    if _is_number(group):
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError) as error:
        raise UserError(f"there is no group {group!r}", hint="give names of groups, or numbers") from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST_ID


def _known_groups(names: Iterable[str]) -> set[int]:
    known = set()
    for name in names:
        try:
            known.add(_gid(name))
        except UserError:
            continue  # a group that the site has not made yet has no members
    return known

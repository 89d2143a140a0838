"""The files by which the container knows who and where it is: passwd, group, nsswitch.conf, hostsfile.

What the name service and the image say may be anything; each entry here is one line with the fields that it must have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spank_container.values.host_facts import Account, Group

_FIRST_ORDINARY_ID = 1000
_NOBODY = 65534
# No other field, line or member; no comment, and no entry of passwd(5)'s old + and - kind.
_NAME = re.compile(r"[^\x00-\x20\x7f:,#+-][^\x00-\x1f\x7f:,]*")
_BREAKS_FIELD = re.compile(r"[\x00-\x1f\x7f:]")
# Not the host's: the image need not have the modules that the host asks.
NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\n"


def passwd(image: str, account: Account) -> str:
    """The image's system accounts and the user."""
    user = _user(account)
    others = [line for line, name, number in _system_entries(image, 7) if name != user and number != account.uid]
    gecos = _BREAKS_FIELD.sub("", account.gecos)
    home, shell = _field(account.home, "/"), _field(account.shell, "/bin/sh")
    return _lines([*others, f"{user}:x:{account.uid}:{account.gid}:{gecos}:{home}:{shell}"])


def group(image: str, account: Account, groups: Iterable[Group]) -> str:
    """The image's system groups, without members, and the user's groups, with the user."""
    own = {one.gid: _named(one.name, f"group{one.gid}") for one in groups}
    names = {*own.values()}
    others = [
        f"{':'.join(line.split(':')[:3])}:"
        for line, name, number in _system_entries(image, 4)
        if name not in names and number not in own
    ]
    return _lines([*others, *(f"{name}:x:{number}:{_user(account)}" for number, name in own.items())])


def hostsfile(hosts: Iterable[tuple[str, int]]) -> str:
    """One line for each CPU that the job has, as $PBS_NODEFILE: exact for each node."""
    return "".join(f"{name}\n" * cpus for name, cpus in hosts)


def _system_entries(text: str, fields: int) -> Iterator[tuple[str, str, int]]:
    """Line, name and number of each."""
    for line in text.split("\n"):
        parts = line.split(":")
        # Ten digits at most: thousands, in a hostile image, would be an error of int()'s.
        if len(parts) == fields and re.fullmatch(r"[0-9]{1,10}", parts[2]) and _NAME.fullmatch(parts[0]):
            number = int(parts[2])
            if number < _FIRST_ORDINARY_ID or number == _NOBODY:
                yield line, parts[0], number


def _user(account: Account) -> str:
    return _named(account.name, f"user{account.uid}")


def _named(name: str, instead: str) -> str:
    return name if _NAME.fullmatch(name) else instead


def _field(text: str, instead: str) -> str:
    """A path with a colon cannot stand in passwd(5), and without it would be another's."""
    return instead if _BREAKS_FIELD.search(text) else text


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)

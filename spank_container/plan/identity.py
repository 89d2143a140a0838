"""The files by which the container knows who and where it is: passwd, group, nsswitch.conf, hostsfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spank_container.values.host_facts import Account, Group

_FIRST_ORDINARY_ID = 1000
_NOBODY = 65534
NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\n"


def passwd(image: str, account: Account) -> str:
    """The image's system accounts and the user."""
    others = [line for line in _system_lines(image, 7) if not _is(line, account.name, account.uid)]
    gecos = account.gecos.replace(":", "")
    user = f"{account.name}:x:{account.uid}:{account.gid}:{gecos}:{account.home}:{account.shell}"
    return _lines([*others, user])


def group(image: str, account: Account, groups: Iterable[Group]) -> str:
    """The image's system groups, without members, and the user's groups, with the user."""
    own = list(groups)
    others = [
        f"{':'.join(line.split(':')[:3])}:"
        for line in _system_lines(image, 4)
        if not any(_is(line, one.name, one.gid) for one in own)
    ]
    return _lines([*others, *(f"{one.name}:x:{one.gid}:{account.name}" for one in own)])


def hostsfile(hosts: Iterable[tuple[str, int]]) -> str:
    """One line for each CPU that the job has, as $PBS_NODEFILE: exact for each node."""
    return "".join(f"{name}\n" * cpus for name, cpus in hosts)


def _system_lines(text: str, fields: int) -> Iterator[str]:
    for line in text.splitlines():
        parts = line.split(":")
        # Ten digits at most: thousands, in a hostile image, would be an error of int()'s.
        if len(parts) == fields and parts[0] and parts[2].isascii() and parts[2].isdigit() and len(parts[2]) <= 10:
            number = int(parts[2])
            if number < _FIRST_ORDINARY_ID or number == _NOBODY:
                yield line


def _is(line: str, name: str, number: int) -> bool:
    parts = line.split(":")
    return parts[0] == name or int(parts[2]) == number


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)

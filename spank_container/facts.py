"""What a plan needs to know of this node, this user and this job's nodes: read here, once, and handed on as values."""

from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

import spank_container
from spank_container.values.host_facts import Account, Group, HostFacts
from spank_container.values.volume import HostPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.values.job import Job

_SHOWN_FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/localtime")
_SUPPORT = Path(spank_container.__file__).parent / "support" / "container"
_CPUS = re.compile(r"(?P<cpus>\d{1,6})(?:\(x(?P<times>\d{1,7})\))?", re.ASCII)


def gather_facts(job: Job) -> HostFacts:
    """All of it. A user whom this node does not know still gets a container, with the job's own ids."""
    account = _account(job)
    return HostFacts(
        account=account,
        groups=_groups(account),
        hosts=tuple(_hosts(job)),
        support=HostPath(str(_SUPPORT)),
        files=frozenset(HostPath(path) for path in _SHOWN_FILES if os.path.exists(path)),
    )


def _account(job: Job) -> Account:
    try:
        entry = pwd.getpwuid(job.uid)
    except KeyError:
        return Account(job.user or str(job.uid), job.uid, job.gid, "", "/", "/bin/sh")
    # The job's group comes from its credential, and may be another than the account's: sbatch --gid.
    return Account(entry.pw_name, job.uid, job.gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell)


def _groups(account: Account) -> tuple[Group, ...]:
    """The primary group first, then those that the name service gives the user, as slurmd itself would."""
    numbers = dict.fromkeys([account.gid, *os.getgrouplist(account.name, account.gid)])
    return tuple(Group(_group_name(number), number) for number in numbers)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"group{number}"


def _hosts(job: Job) -> Iterator[tuple[str, int]]:
    names = _expand(job.nodes) or [job.node]
    cpus = list(_cpus_per_node(job.cpus_per_node))
    for index, name in enumerate(names):
        yield name, cpus[index] if index < len(cpus) else 1


def _expand(nodes: str) -> list[str]:
    if not re.search(r"[\[,]", nodes):
        return [nodes] if nodes else []
    from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415  # a job on one node need not pay for it

    # In Slurm's order, which ClusterShell would sort: the CPU counts go by it.
    return [str(name) for part in _parts(nodes) for name in NodeSet(part)]


def _parts(nodes: str) -> list[str]:
    """n[1-2,5],m1 -> n[1-2,5] and m1."""
    return re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes)


def _cpus_per_node(text: str) -> Iterator[int]:
    """4(x2),2 -> 4, 4, 2; Slurm's own notation, of which nothing else is accepted."""
    for part in text.split(",") if text else ():
        match = _CPUS.fullmatch(part)
        if match:
            yield from [int(match["cpus"])] * int(match["times"] or 1)

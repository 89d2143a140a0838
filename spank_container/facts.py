"""What a plan needs to know of this node, this user and this job's nodes: read here, once, and handed on as values."""

from __future__ import annotations

import math
import os
import re
import sys
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import NodeError
from spank_container.name_service import identify
from spank_container.values.host_facts import SLURMS_OWN, HostFacts
from spank_container.values.volume import HostPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.values.job import Job

_SHOWN_FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/localtime")
# In the Python that runs us; `spank-container install` makes it lead to PREFIX/container.
SUPPORT_LINK = Path("lib/spank-container")
_SUPPORT = Path(sys.prefix) / SUPPORT_LINK / "bin"
_MOST_NODES = 100_000
_MOST_CPUS = 10_000_000  # in the whole job: each is a line of /var/hostsfile
_RANGE = r"\d{1,9}(?:-\d{1,9})?"
_NODES = re.compile(rf"(?:[\w.-]|\[{_RANGE}(?:,{_RANGE})*\])+", re.ASCII)
_CPUS = re.compile(r"(?P<cpus>\d{1,6})(?:\(x(?P<times>\d{1,6})\))?", re.ASCII)


def gather_facts(job: Job, name_service_timeout: float) -> HostFacts:
    """All of it. A user whom this node does not know still gets a container, with the job's own ids.

    Raises BusyError when the name service does not answer within so many seconds.
    """
    account, groups = identify(job, name_service_timeout)
    return HostFacts(
        account=account,
        groups=groups,
        hosts=tuple(_hosts(job)),
        support=HostPath(str(_SUPPORT)),
        # Where one is a link, as resolv.conf is with systemd-resolved, what it leads to is shown.
        files=frozenset(HostPath(path) for path in _SHOWN_FILES if os.path.exists(path)),
        tmp=tuple(map(_identity, SLURMS_OWN)),
    )


def _identity(path: str) -> str:
    """By which the plugin knows the node's folder from one that Slurm has put over it, for the job."""
    status = os.stat(path)
    return f"{status.st_dev}:{status.st_ino}"


def _hosts(job: Job) -> list[tuple[str, int]]:
    names = _expand(job.nodes) or [job.node or os.uname().nodename]
    cpus = [*islice(_cpus_per_node(job.cpus_per_node), len(names))]
    cpus += [1] * (len(names) - len(cpus))
    if sum(cpus) > _MOST_CPUS:
        raise _no_list("SLURM_JOB_CPUS_PER_NODE", job.cpus_per_node)
    return list(zip(names, cpus, strict=True))


def _expand(nodes: str) -> list[str]:
    parts = _parts(nodes)
    if sum(_count(part) for part in parts) > _MOST_NODES:
        raise _no_list("SLURM_JOB_NODELIST", nodes)
    if "[" not in nodes:
        return parts
    from ClusterShell.NodeSet import NodeSet, NodeSetException  # noqa: PLC0415  # a job on one node need not pay for it

    try:
        # In Slurm's order, which ClusterShell would sort: the CPU counts go by it.
        return [str(name) for part in parts for name in NodeSet(part)]
    except NodeSetException as error:
        raise _no_list("SLURM_JOB_NODELIST", nodes) from error


def _parts(nodes: str) -> list[str]:
    """n[1-2,5],m1 -> n[1-2,5] and m1."""
    parts = re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes)
    if ",".join(parts) != nodes or not all(_NODES.fullmatch(part) for part in parts):
        raise _no_list("SLURM_JOB_NODELIST", nodes)
    return parts


def _count(part: str) -> int:
    """How many nodes ClusterShell would make of it: asked first, since it makes them all at once."""
    return math.prod(sum(map(_length, ranges.split(","))) for ranges in re.findall(r"\[(.*?)\]", part))


def _length(numbers: str) -> int:
    first, _, last = numbers.partition("-")
    return abs(int(last or first) - int(first)) + 1


def _cpus_per_node(text: str) -> Iterator[int]:
    """4(x2),2 -> 4, 4, 2; Slurm's own notation, of which nothing else is accepted."""
    for part in text.split(",") if text else ():
        match = _CPUS.fullmatch(part)
        if match is None:
            raise _no_list("SLURM_JOB_CPUS_PER_NODE", text)
        yield from repeat(int(match["cpus"]), int(match["times"] or 1))


def _no_list(name: str, text: str) -> NodeError:
    return NodeError(f"{name} is {text[:200]!r}, which cannot be read", hint="run this from Slurm's Prolog or Epilog")

"""What the demonstration knows of its job: what each rank should see and did see, and how long the hooks took."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

# By fact: the pattern that it has to match on every rank.
WANTED = {
    "host name": r"n[12]",
    "image": r"Debian GNU/Linux 13 \(trixie\)",
    "uid": r"2001",
    "/var/hostsfile": r"n1 x 16, n2 x 16",
    "/mnt file system": r"xfs",
    "/mnt size": r"9\d\d MiB",  # of 1 GiB; XFS keeps its journal for itself
    "$TMPDIR": r"/mnt",
}
NUMBER = r"([\d.]+)"
STEP = r"\d{1,9}"  # Slurm's numbers of batch scripts and the like are longer, and those are not in the container


@dataclass(frozen=True, slots=True)
class RankReport:
    """What one rank said of itself."""

    rank: str
    facts: dict[str, str] = field(default_factory=dict)

    def seen(self, fact: str) -> str:
        return self.facts.get(fact, "nothing")


@dataclass(frozen=True, slots=True)
class Times:
    """What a node has written down of a job: milliseconds, and microseconds for each task's entry."""

    prolog: str
    epilog: str
    entries: tuple[str, ...]


def read_output(cluster: Cluster, number: str) -> tuple[list[RankReport], list[str]]:
    """The reports of the ranks, whose lines are `RANK FACT: VALUE` in any order, and the lines that are none."""
    reports: dict[str, RankReport] = {}
    other = []
    for line in cluster.run(["cat", f"slurm-{number}.out"]).stdout.splitlines():
        found = re.fullmatch(r"(\d+) ([^:]+): (.*)", line)
        if not found:
            other.append(line)
            continue
        rank, fact, value = found.groups()
        reports.setdefault(rank, RankReport(rank)).facts[fact] = _readable(fact, value)
    return sorted(reports.values(), key=lambda report: int(report.rank)), other


def _readable(fact: str, value: str) -> str:
    if fact == "/var/hostsfile":
        return ", ".join(f"{host} x {len(list(lines))}" for host, lines in groupby(value.split()))
    return value


def times(cluster: Cluster, node: str, number: str) -> Times:
    """As the hooks and the plugin wrote them down on `node`."""
    log = cluster.run(["cat", "/var/log/spank-container.log"], user="root", node=node).stdout
    timing = cluster.run(["cat", "/var/log/spank-container.timing"], user="root", node=node).stdout
    return Times(
        prolog=_hook(log, "prolog", number),
        epilog=_hook(log, "epilog", number),
        entries=tuple(re.findall(rf"^{number} {STEP} \d+ {NUMBER}$", timing, re.MULTILINE)),
    )


def _hook(log: str, hook: str, number: str) -> str:
    found = re.search(rf" {hook} job={number} status=0 ms={NUMBER}$", log, re.MULTILINE)
    return found[1] if found else ""

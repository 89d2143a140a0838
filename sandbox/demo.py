"""`./dev demo`: the job script of Shifter's own talk on a real cluster, shown and judged.

Everything a newcomer sees is asked of the cluster itself; a check that fails is shown in its place and makes the
demonstration fail.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from sandbox import cluster as clusters
from sandbox import demo_facts
from sandbox.command import SandboxError
from sandbox.releases import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.cluster import Cluster
    from sandbox.demo_facts import RankReport

SCRIPT = """\
#!/bin/bash
#SBATCH -N 2 -t 20
#SBATCH --image=docker:debian:trixie
#SBATCH --volume=/shared/alice/backingFile:/mnt:perNodeCache=size=1G
module load shifter
export TMPDIR=/mnt
srun -n 4 shifter /myapp/app
"""
PROGRAM = "/opt/spank-container/bin/spank-container"


@dataclass(slots=True)
class Judge:
    """Shows what is wrong, and remembers that something was."""

    console: Console
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, seen: object, wanted: object) -> str:
        """The text to show for `seen`."""
        return self._shown(what, seen, wanted, right=seen == wanted)

    def expect_match(self, what: str, seen: str, pattern: str) -> str:
        """The text to show for `seen`."""
        return self._shown(what, seen, pattern, right=re.fullmatch(pattern, seen) is not None)

    def _shown(self, what: str, seen: object, wanted: object, *, right: bool) -> str:
        if right:
            return f"{seen}"
        self.wrong.append(f"{what} is {seen!r}, not {wanted!r}")
        return f"[bold red]{seen}[/] (not {wanted})"


def demonstrate(slurm: str = DEFAULT) -> int:
    """Start a cluster, run the job, show everything, take the cluster down; 0 if all was right."""
    judge = Judge(Console(highlight=False, soft_wrap=True))
    try:
        _show(clusters.up(slurm, count=2), judge)
    finally:
        clusters.down()
    for wrong in judge.wrong:
        judge.console.print(f"[bold red]wrong:[/] {wrong}")
    if not judge.wrong:
        judge.console.print("[bold green]All of it is right, and nothing is left.[/]")
    return 1 if judge.wrong else 0


def _show(cluster: Cluster, judge: Judge) -> None:
    _pull(cluster, judge)
    number = _submit(cluster, judge)
    ranks, other = demo_facts.read_output(cluster, number)
    if other:
        judge.wrong.append("the job printed something else too")
        judge.console.print("\n".join(other), markup=False)
    _show_ranks(judge, ranks)
    _show_leftovers(cluster, judge)
    _show_times(cluster, judge, number)


def _pull(cluster: Cluster, judge: Judge) -> None:
    _show_command(judge, "root", f"{PROGRAM.rpartition('/')[2]} pull docker:debian:trixie")
    done = cluster.run([PROGRAM, "pull", "docker:debian:trixie"], user="root")
    judge.console.print((done.stdout + done.stderr).strip(), markup=False)
    if done.returncode != 0:
        raise SandboxError(f"the pull ended with status {done.returncode}")


def _submit(cluster: Cluster, judge: Judge) -> str:
    judge.console.print(Panel(Syntax(SCRIPT, "bash", background_color="default"), title="job.sh", expand=False))
    cluster.run("cat > job.sh", input=SCRIPT)
    _show_command(judge, "alice", "sbatch --wait job.sh")
    done = cluster.run(["sbatch", "--wait", "job.sh"])
    judge.console.print((done.stdout + done.stderr).strip(), markup=False)
    if not done.stdout.startswith("Submitted batch job"):
        raise SandboxError("the job was not taken")
    number = done.stdout.split()[-1]
    judge.expect("the job's exit status", done.returncode, 0)
    _wait_for_epilogs(cluster)
    return number


def _wait_for_epilogs(cluster: Cluster) -> None:
    """sbatch returns when the batch script has ended; the nodes are idle again when their Epilogs have."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(cluster.node_state(name) != "idle" for name in cluster.nodes):
        time.sleep(0.1)


def _show_command(judge: Judge, user: str, command: str) -> None:
    judge.console.print(f"\n[bold]{user}@login$[/] {command}")


def _table(first: str, *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column)
    return table


def _show_ranks(judge: Judge, ranks: Sequence[RankReport]) -> None:
    """One column a rank: the facts are long and the ranks are few."""
    judge.expect("ranks that reported", sorted(rank.rank for rank in ranks), ["0", "1", "2", "3"])
    judge.expect("nodes that ran ranks", {rank.seen("host name") for rank in ranks}, {"n1", "n2"})
    table = _table("what /myapp/app saw", *[f"rank {rank.rank}" for rank in ranks])
    for fact, pattern in demo_facts.WANTED.items():
        name = "rank {}: {}".format
        table.add_row(fact, *[judge.expect_match(name(rank.rank, fact), rank.seen(fact), pattern) for rank in ranks])
    judge.console.print(table)


def _show_leftovers(cluster: Cluster, judge: Judge) -> None:
    kinds = ("mounts", "loops", "files", "namespaces", "processes")
    table = _table("left after the job", *kinds)
    for name, left in cluster.leftovers().items():
        counts = [judge.expect(f"{kind} left on {name}", len(getattr(left, kind)), 0) for kind in kinds]
        state = judge.expect(f"{name}'s state", cluster.node_state(name), "idle") if name in cluster.nodes else ""
        table.add_row(f"{name} {state}", *counts)
        judge.wrong += [f"left on {name}: {entry}" for kind in kinds for entry in getattr(left, kind)]
    judge.expect("files left in /shared/alice", cluster.run(["ls", "-A", "/shared/alice"]).stdout, "")
    judge.console.print(table)


def _show_times(cluster: Cluster, judge: Judge, number: str) -> None:
    table = _table("node", "prolog", "entry of each task", "epilog")
    for name in cluster.nodes:
        times = demo_facts.times(cluster, name, number)
        if not (times.prolog and times.epilog and times.entries):
            judge.wrong.append(f"{name} has not logged its times")
        entries = ", ".join(f"{entry} µs" for entry in times.entries)
        table.add_row(name, f"{times.prolog} ms", entries, f"{times.epilog} ms")
    judge.console.print(table)

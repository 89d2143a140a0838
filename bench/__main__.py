"""The command line: run one benchmark, or all, on a cluster of their own; 0 only when every promise holds."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.rows import Row
    from sandbox.cluster import Cluster

os.environ.setdefault("SPANK_CONTAINER_SANDBOX", "bench")  # before the sandbox is imported: a developer's stays up

from bench.convert import convert
from bench.entry import entry
from bench.rows import all_hold
from bench.scratch import scratch
from bench.show import show_json, show_table
from sandbox import cluster as clusters
from sandbox.command import SandboxError, say
from sandbox.releases import DEFAULT, RELEASES

ON_A_CLUSTER = {"entry": entry, "scratch": scratch}
ON_THIS_MACHINE = {"convert": convert}
BENCHMARKS = [*ON_A_CLUSTER, *ON_THIS_MACHINE]


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the cluster is taken down first
    arguments = _parser().parse_args()
    names = [arguments.name] if arguments.name else BENCHMARKS
    try:
        kept = [_show(name, rows, as_json=arguments.json) for name, rows in _measured(names, arguments.slurm)]
    except SandboxError as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if all(kept) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="all of them, without it")
    parser.add_argument("--json", action="store_true", help="for machines")
    known = [release.slurm for release in RELEASES]
    parser.add_argument("--slurm", choices=known, default=DEFAULT, help=f"release of Slurm ({DEFAULT})")
    return parser


def _measured(names: Sequence[str], slurm: str) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each benchmark; a cluster is up only while one needs it."""
    if wanted := [name for name in names if name in ON_A_CLUSTER]:
        with _cluster(slurm) as cluster:
            for name in wanted:
                yield name, ON_A_CLUSTER[name](cluster)
    for name in names:
        if name in ON_THIS_MACHINE:
            yield name, ON_THIS_MACHINE[name]()


def _show(name: str, rows: Sequence[Row], *, as_json: bool) -> bool:
    """Whether every promise holds."""
    (show_json if as_json else show_table)(name, rows)
    return all_hold(rows)


@contextmanager
def _cluster(slurm: str) -> Iterator[Cluster]:
    """One of our own, or the one that a developer keeps up under our name."""
    existing = clusters.running()
    if existing and existing.release.slurm == slurm:
        yield existing
        return
    started = clusters.up(slurm, count=1)
    try:
        yield started
    finally:
        clusters.down()


if __name__ == "__main__":
    sys.exit(main())

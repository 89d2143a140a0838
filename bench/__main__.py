"""The command line: run one benchmark, or all, on a cluster of their own; 0 only when every promise holds."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster


def main() -> int:
    os.environ.setdefault("SPANK_CONTAINER_SANDBOX", "bench")  # before the sandbox is imported: a developer's stays up
    from bench.entry import entry  # noqa: PLC0415
    from bench.rows import all_hold  # noqa: PLC0415
    from bench.show import show_json, show_table  # noqa: PLC0415

    benchmarks = {"entry": entry}
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=benchmarks, help="all without it")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    kept = True
    with _cluster() as cluster:
        for name in [arguments.name] if arguments.name else benchmarks:
            rows = benchmarks[name](cluster)
            (show_json if arguments.json else show_table)(name, rows)
            kept = kept and all_hold(rows)
    return 0 if kept else 1


@contextmanager
def _cluster() -> Iterator[Cluster]:
    """One of our own, or the one that a developer keeps up under our name."""
    from sandbox import cluster as clusters  # noqa: PLC0415
    from sandbox.releases import DEFAULT  # noqa: PLC0415

    existing = clusters.running()
    if existing:
        yield existing
        return
    try:
        yield clusters.up(DEFAULT, count=1)
    finally:
        clusters.down()


if __name__ == "__main__":
    sys.exit(main())

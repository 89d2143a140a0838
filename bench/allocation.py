"""Nodes that stay allocated while something is measured in them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.command import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster


@contextmanager
def allocated(cluster: Cluster, *options: str, user: str = "alice") -> Iterator[str]:
    """The id of a job of one node that runs nothing by itself; its Prolog is over."""
    done = cluster.run(["salloc", "--no-shell", "--nodes=1", *options], user=user)
    found = re.search(r"job allocation (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise SandboxError(f"salloc: {done.stderr.strip()}")
    try:
        yield found[1]
    finally:
        cluster.run(["scancel", found[1]], user=user)
        _wait_for_end(cluster)


def _wait_for_end(cluster: Cluster) -> None:
    """Until the Epilog has run too: it would be in the way of what is measured next."""
    cluster.run('while [ -n "$(squeue --noheader)" ]; do sleep 0.1; done')

"""Do what a plan says: a `match` over the operations, and no decisions.

Each host operation is journalled before it acts, so that undo knows of it whatever happens next.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spank_container.errors import NodeError
from spank_container.executor.container_root import build_root
from spank_container.executor.image_mounts import image_mount, lease_image
from spank_container.executor.sources import open_sources
from spank_container.kernel import mounts, namespace
from spank_container.plan.ops import (
    TMP,
    HostOp,
    JoinNamespace,
    MakeScratch,
    MakeTmp,
    MountImage,
    MountPlan,
    PinNamespace,
)
from spank_container.state import ContainerDirectory, Journal, StateDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.executor.scratch import Promises

_LONGEST_BUILD = 120  # seconds; a home directory that is mounted on demand may take its time


@dataclass(slots=True)
class _Site:
    """Where a plan is applied, and what its operations hand to each other: detached mounts, by name."""

    state: StateDirectory
    directory: ContainerDirectory
    node: str
    made: dict[str, int] = field(default_factory=dict)
    promises: Promises | None = None


def apply(plan: MountPlan, state: StateDirectory, directory: ContainerDirectory, node: str) -> None:
    """Apply the whole plan. On an error what was done stays, journalled; the caller undoes it."""
    site = _Site(state, directory, node)
    journal = Journal(directory)
    with _closing_all(site.made):
        for index, op in enumerate(plan.host):
            journal.begin(index)
            _apply_host_op(op, index, plan, site)
            journal.done(index)


def _apply_host_op(op: HostOp, index: int, plan: MountPlan, site: _Site) -> None:
    def note(text: str) -> None:
        Journal(site.directory).begin(index, text)

    match op:
        case MountImage():
            lease_image(site.state, op)
        case MakeScratch():
            from spank_container.executor.scratch import Promises, make_scratch  # noqa: PLC0415  # most want no cache

            name = f"spank-container-{site.directory.name}-{site.node}-{op.name}"
            site.promises = site.promises or Promises()
            site.made[op.name] = make_scratch(op, name, site.promises, note)
        case MakeTmp():
            from spank_container.executor.private_tmp import make_tmp  # noqa: PLC0415  # likewise

            name = f"spank-container-{site.directory.name}-"
            site.made[TMP] = make_tmp(op, name, note)
        case PinNamespace():
            _build_and_pin(op, plan, site)
        case JoinNamespace():
            _join(op)


def _build_and_pin(op: PinNamespace, plan: MountPlan, site: _Site) -> None:
    image = next(image_mount(site.state, one.digest) for one in plan.host if isinstance(one, MountImage))

    def build() -> None:
        # Sources are opened before the namespace is ours: move_mount(2) takes a detached mount anywhere, but
        # open_tree(2) clones only what is in the caller's namespace.
        sources = open_sources(plan.inside, plan.rules)
        namespace.unshare_mounts()
        root = build_root(plan.inside, sources | site.made, str(image), str(site.directory.root))
        namespace.enter_root(root)

    with open(op.pin, "x", encoding="ascii"), namespace.built(build, _LONGEST_BUILD) as pid:
        namespace.pin(pid, op.pin)


def _join(op: JoinNamespace) -> None:
    """The caller holds the job's lock, so the job's pin stays while it is looked at and bound."""
    if not mounts.is_mount_point(op.job_pin):
        raise NodeError(f"joining the job's container: nothing is pinned at {op.job_pin}")
    with open(op.pin, "x", encoding="ascii"):
        mounts.bind(op.job_pin, op.pin)


@contextlib.contextmanager
def _closing_all(descriptors: dict[str, int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)

"""A last look at a finished plan: what would be wrong here is a defect of ours, and stops before root acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.errors import NodeError
from spank_container.plan.ops import (
    TMP,
    AttachScratch,
    AttachTmp,
    Bind,
    JoinNamespace,
    MakeMountPoint,
    MakeScratch,
    MakeSymlink,
    MakeTmp,
    MountOp,
    MountRoot,
    MountTmpfs,
    PinNamespace,
    WriteFile,
    WriteHostsFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.plan.ops import MountPlan


def check_plan(plan: MountPlan) -> None:
    """Raises NodeError unless every path is absolute and normal, parents come first, and the pin is last."""
    problems = list(_problems(plan))
    if problems:
        raise NodeError(f"the plan is not sound: {'; '.join(problems)}", hint="this is a defect: please report it")


def _problems(plan: MountPlan) -> Iterator[str]:
    if not _ends_in_a_pin(plan):
        yield "the namespace is not pinned"
    for path in _paths(plan):
        if not _is_normal(path):
            yield f"{path!r} is not a normal path"
    for name in sorted({*_wanted(plan)} - _made(plan)):
        yield f"nobody makes {name}"
    targets = [op.target for op in plan.inside if isinstance(op, MountOp)]
    if "/" in targets:
        yield "a mount hides the root"
    if len(set(targets)) != len(targets):
        yield "two mounts have one target"
    for index, target in enumerate(targets):
        if any(earlier.startswith(f"{target}/") for earlier in targets[:index]):
            yield f"{target} comes after what is mounted below it"


def _ends_in_a_pin(plan: MountPlan) -> bool:
    """A namespace is built and pinned last of all, or the job's own is joined and nothing else is done."""
    match plan.host:
        case (JoinNamespace(),):
            return not plan.inside
        case (*others, PinNamespace()):
            return not any(isinstance(op, PinNamespace | JoinNamespace) for op in others)
        case _:
            return False


def _made(plan: MountPlan) -> set[str]:
    made = {op.name for op in plan.host if isinstance(op, MakeScratch)}
    return made | {TMP for op in plan.host if isinstance(op, MakeTmp)}


def _wanted(plan: MountPlan) -> Iterator[str]:
    for op in plan.inside:
        match op:
            case AttachScratch():
                yield op.name
            case AttachTmp():
                yield TMP
            case MountRoot() if op.cache:
                yield op.cache
            case _:
                continue


def _is_normal(path: str) -> bool:
    # PurePosixPath does not say it: it keeps a second slash at the beginning, which Linux ignores.
    return path == "/" or (path[:1] == "/" and "\0" not in path and not {"", ".", ".."} & {*path[1:].split("/")})


def _paths(plan: MountPlan) -> Iterator[str]:
    for op in plan.inside:
        match op:
            case Bind():
                yield from (op.source, op.target)
            case MakeMountPoint() | MountTmpfs() | AttachScratch() | AttachTmp():
                yield op.target
            case WriteFile() | WriteHostsFile() | MakeSymlink():
                yield op.path
            case MountRoot():
                continue

"""A plan, read out: each thing in the container and each variable of its tasks with the reason that the plan has for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.plan.ops import (
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
    WriteFile,
    WriteHostsFile,
)
from spank_container.values.size import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.plan.ops import InsideOp, MountPlan


@dataclass(frozen=True, slots=True)
class Shown:
    """`path` is the container's; `how` are a mount's options, as mount(8) has them, and none for what is on /."""

    path: str
    source: str
    how: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Variable:
    """None as value: it is taken away."""

    name: str
    value: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`node` is what is done outside the container; `keeps` are the beginnings of names that stay where the environment
    is cleared; `joined` is the pin of the job whose container a step runs in."""

    node: tuple[str, ...]
    shown: tuple[Shown, ...]
    variables: tuple[Variable, ...]
    keeps: tuple[str, ...] | None = None
    workdir: str = ""
    entrypoint: tuple[str, ...] = ()
    joined: str = ""


def explain(plan: MountPlan, image: str) -> Explanation:
    """All that a plan shows, by path, and sets, in order; `image` is the one that it is for, as typed."""
    shown = [row for op in plan.inside for row in _shown(op, plan, image)]
    records = _by_kind(plan.environment)
    return Explanation(
        node=tuple(op.describe() for op in plan.host),
        shown=tuple(sorted(shown, key=lambda row: PurePosixPath(row.path).parts)),
        variables=tuple(_variables(records[""], dict(plan.reasons))),
        keeps=tuple(records["+"]) if records["-"] else None,
        workdir="".join(records["@"]),
        entrypoint=tuple(records[">"]),
        joined="".join(op.job_pin for op in plan.host if isinstance(op, JoinNamespace)),
    )


def _shown(op: InsideOp, plan: MountPlan, image: str) -> Iterator[Shown]:
    match op:
        case MakeMountPoint():
            return
        case MountRoot():
            what = f"the image, and over it {written}" if (written := _written(op, plan)) else "the image"
            how = ("rw" if written else "ro", "nosuid", "nodev")
            yield Shown("/", what, how, "; ".join(filter(None, [f"--image={image}", op.why])))
        case WriteFile() | WriteHostsFile():
            yield Shown(op.path, "a file made for the job", (), op.why)
        case MakeSymlink():
            yield Shown(op.path, f"a link to {op.to}", (), op.why)
        case Bind() | MountTmpfs() | AttachScratch() | AttachTmp():
            yield Shown(op.target, _source(op, plan), _how(op), op.why)


def _written(op: MountRoot, plan: MountPlan) -> str:
    """Where what is written to the root goes; empty when nothing can be."""
    if op.cache:
        return _cache(op.cache, plan)
    return f"a tmpfs of {_tmpfs_size(op.size)}" if op.size else ""


def _source(op: MountOp, plan: MountPlan) -> str:
    match op:
        case Bind():
            return op.source
        case MountTmpfs():
            return f"a tmpfs of {_tmpfs_size(op.size)}"
        case AttachScratch():
            return _cache(op.name, plan)
        case AttachTmp():
            return next(f"a folder of the job's in {one.place}" for one in plan.host if isinstance(one, MakeTmp))


def _cache(name: str, plan: MountPlan) -> str:
    made = next(op for op in plan.host if isinstance(op, MakeScratch) and op.name == name)
    place = f"{made.place} (the site's)" if made.by_site else made.place
    return f"a new {made.filesystem} of {format_size(made.size)}, in {place}"


def _tmpfs_size(size: str) -> str:
    return format_size(int(size)) if size.isdigit() else f"{size} of the memory"


def _how(op: MountOp) -> tuple[str, ...]:
    if not isinstance(op, Bind):
        return ("rw", "nosuid", "nodev")
    return (
        "ro" if op.read_only else "rw",
        *(() if op.devices else ("nosuid", "nodev")),
        *(("as the user",) if op.owner else ()),
        *(("if it is there",) if op.optional else ()),
    )


def _by_kind(records: tuple[str, ...]) -> dict[str, list[str]]:
    """What the file `env` holds, by the sign that a record begins with: its kinds are a contract with the plugin."""
    kinds: dict[str, list[str]] = {kind: [] for kind in ("", "+", "-", "@", ">")}
    for record in records:
        kind = record[0] if record[0] in kinds else ""
        kinds[kind].append(record.removeprefix(kind))
    return kinds


def _variables(records: list[str], reasons: dict[str, str]) -> Iterator[Variable]:
    for record in records:
        name, equals, value = record.partition("=")
        yield Variable(name, value if equals else None, reasons.get(name, ""))

"""Each way in which a plan can be unsound is found; a plan that was built is sound (tests/property)."""

from __future__ import annotations

import pytest

from spank_container.errors import NodeError
from spank_container.plan.check import check_plan
from spank_container.plan.ops import (
    AttachScratch,
    AttachTmp,
    Bind,
    HostOp,
    InsideOp,
    JoinNamespace,
    MakeMountPoint,
    MakeScratch,
    MakeSymlink,
    MountImage,
    MountPlan,
    MountRoot,
    MountTmpfs,
    PinNamespace,
    WriteFile,
)

IMAGE = MountImage("/s/images/x.squashfs", "x", "12")
CACHE = MakeScratch("cache0", "/s", False, 1 << 30, False, "xfs", None, (1, 1))
PIN = PinNamespace("/run/mnt.ns")
JOIN = JoinNamespace("/run/mnt.ns", "/run/steps/0/mnt.ns")


def refusal(*inside: InsideOp, host: tuple[HostOp, ...] = (IMAGE, CACHE, PIN)) -> str:
    with pytest.raises(NodeError) as caught:
        check_plan(MountPlan(host, inside, ()))
    return caught.value.report()


def unsound(problem: str) -> str:
    return f"the plan is not sound: {problem}\nhint: this is a defect: please report it"


def test_a_sound_plan() -> None:
    inside = (MountRoot(), Bind("/", "/host"), MountTmpfs("/tmp", "50%", 0o1777), AttachScratch("cache0", "/tmp/x"))
    check_plan(MountPlan((IMAGE, CACHE, PIN), inside, ()))


def test_a_step_that_joins_does_nothing_else() -> None:
    check_plan(MountPlan((JOIN,), (), ()))
    assert refusal(MountRoot(), host=(JOIN,)) == unsound("the namespace is not pinned")


@pytest.mark.parametrize("host", [(), (IMAGE,), (PIN, IMAGE), (IMAGE, JOIN), (JOIN, PIN), (PIN, PIN)])
def test_the_pin_comes_last(host: tuple[HostOp, ...]) -> None:
    assert refusal(host=host) == unsound("the namespace is not pinned")


@pytest.mark.parametrize("path", ["", "a", "//a", "/a/", "/a//b", "/./a", "/a/.", "/a/../b", "/..", "/a\0", "//"])
def test_every_path_is_normal(path: str) -> None:
    assert refusal(Bind(path, "/x")) == unsound(f"{path!r} is not a normal path")
    for op in (Bind("/x", path), MountTmpfs(path, "1G", 0o1777), AttachScratch("cache0", path)):
        assert refusal(op) == unsound(f"{path!r} is not a normal path")
    for other in (MakeMountPoint(path), WriteFile(path, ""), MakeSymlink(path, "/to")):
        assert refusal(other) == unsound(f"{path!r} is not a normal path")


def test_what_is_attached_was_made() -> None:
    attached = (MountRoot(cache="cache1"), AttachScratch("cache2", "/x"), AttachTmp("/tmp"))
    assert refusal(*attached) == unsound("nobody makes cache1; nobody makes cache2; nobody makes tmp")


def test_nothing_hides_the_root() -> None:
    assert refusal(Bind("/a", "/")) == unsound("a mount hides the root")


def test_no_target_twice() -> None:
    assert refusal(Bind("/a", "/x"), AttachScratch("cache0", "/x")) == unsound("two mounts have one target")


def test_parents_come_first() -> None:
    problem = unsound("/x comes after what is mounted below it")
    assert refusal(Bind("/a", "/x/y/z"), MountTmpfs("/xx", "1G", 0o1777), Bind("/b", "/x")) == problem


def test_all_problems_are_told() -> None:
    report = refusal(Bind("a", "/x"), Bind("/b", "/x"), host=())
    assert report == unsound("the namespace is not pinned; 'a' is not a normal path; two mounts have one target")

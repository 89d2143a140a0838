"""What a plan mounts where, and why; the whole of typical plans stands in tests/golden."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from builders import CONTAINER, account, config, facts, image, job, plan, request

from spank_container.errors import UserError
from spank_container.plan.build import build_plan
from spank_container.plan.ops import (
    AttachScratch,
    AttachTmp,
    Bind,
    MakeMountPoint,
    MakeScratch,
    MakeTmp,
    MountImage,
    MountOp,
    MountPlan,
    MountRoot,
    MountTmpfs,
    PinNamespace,
    WriteFile,
    WriteHostsFile,
)
from spank_container.site_config import ContainerConfig, ScratchConfig
from spank_container.values.volume import ContainerPath
from spank_container.values.writable import WritableSpec

OWNER = (1001, 1001, 1001, 2000)


def mounts(of: MountPlan) -> dict[str, MountOp]:
    return {op.target: op for op in of.inside if isinstance(op, MountOp)}


def places(of: MountPlan) -> list[str]:
    return [op.target for op in of.inside if isinstance(op, MakeMountPoint)]


def own(home: str, workdir: str | None, *volumes: str) -> list[str]:
    """Which of the user's own directories a container shows."""
    made = plan(*volumes, of=job(workdir), on=facts(account(home=home)))
    return [target for target, op in mounts(made).items() if isinstance(op, Bind) and op.optional]


def test_the_host_side_begins_with_the_image_and_ends_with_the_pin() -> None:
    first, *scratch, last = plan("/a:/b:perNodeCache=size=1G").host
    name = "sha256-" + "0123456789abcdef" * 4
    assert first == MountImage(f"/shared/images/images/{name}.squashfs", name, "12", copies_size=50 << 30)
    assert [type(op) for op in scratch] == [MakeScratch]
    assert last == PinNamespace("/run/spank-container/jobs/12/mnt.ns")


def test_the_root_is_mounted_between_what_is_made_and_what_is_bound() -> None:
    inside = plan("/a:/b").inside
    root = inside.index(MountRoot(OWNER))
    assert not any(isinstance(op, Bind | MountTmpfs | AttachScratch) for op in inside[:root])
    assert all(isinstance(op, Bind | MountTmpfs | AttachScratch) for op in inside[root + 1 :])


def test_a_volume_is_opened_as_its_user() -> None:
    made = mounts(plan("/a:/b;/c:/d:ro"))
    assert made["/b"] == Bind("/a", "/b", OWNER)
    assert made["/d"] == Bind("/c", "/d", OWNER, read_only=True)


def test_the_nodes_own_files_are_opened_as_root() -> None:
    made = mounts(plan())
    assert made["/etc/hosts"] == Bind("/etc/hosts", "/etc/hosts", read_only=True)
    assert made["/dev"] == Bind("/dev", "/dev", devices=True)
    assert [op.target for op in made.values() if isinstance(op, Bind) and op.devices] == ["/dev", "/proc", "/sys"]


def test_caches_are_numbered_as_the_volumes_are() -> None:
    made = plan("/a:/x;/b/f:/mnt:perNodeCache=size=1G,fs=ext4,bs=4k", "/c:/tmp:perNodeCache=size=2G")
    assert made.host[1:3] == (
        MakeScratch("cache1", "/b/f", False, 1 << 30, False, "ext4", 4096, OWNER),
        MakeScratch("cache2", "/c", False, 2 << 30, False, "xfs", None, OWNER),
    )
    assert mounts(made)["/mnt"] == AttachScratch("cache1", "/mnt")
    assert mounts(made)["/tmp"] == AttachScratch("cache2", "/tmp")


def test_the_sites_place_for_caches_wins() -> None:
    made = plan("/a:/x:perNodeCache=size=1G", under=config(ScratchConfig("/local", overcommit=True)))
    assert made.host[1] == MakeScratch("cache0", "/local", True, 1 << 30, True, "xfs", None, OWNER)


@pytest.mark.parametrize(("size", "bytes_"), [("50%", "50%"), ("1.5G", "1610612736"), ("1e9", "1000000000")])
def test_the_kernel_gets_sizes_as_it_reads_them(size: str, bytes_: str) -> None:
    made = mounts(plan(under=config(container=ContainerConfig(tmp_size=size, shm_size="1K"))))
    assert made["/tmp"] == MountTmpfs("/tmp", bytes_, 0o1777)
    assert made["/dev/shm"] == MountTmpfs("/dev/shm", "1024", 0o1777)


@pytest.mark.parametrize(
    ("tmp", "mount"),
    [
        ("tmpfs", MountTmpfs("/tmp", "50%", 0o1777)),
        ("private", AttachTmp("/tmp")),
        ("host", Bind("/tmp", "/tmp")),
    ],
)
def test_what_tmp_is(tmp: str, mount: MountOp) -> None:
    site = config(container=ContainerConfig(tmp=tmp))
    made = plan(under=site)
    assert mounts(made)["/tmp"] == mount
    assert [op for op in made.host if isinstance(op, MakeTmp)] == ([MakeTmp("/tmp", OWNER)] if tmp == "private" else [])
    replaced = plan("/a:/tmp", under=site)
    assert mounts(replaced)["/tmp"] == Bind("/a", "/tmp", OWNER)
    assert not [op for op in replaced.host if isinstance(op, MakeTmp)]


def root(writable: WritableSpec | None, *, by_site: bool = False) -> MountRoot:
    asked = replace(request("/a:/x:perNodeCache=size=1G;/b:/mnt:perNodeCache=size=1G"), writable=writable)
    site = config(container=ContainerConfig(writable=by_site, writable_size="1.5G"))
    made = build_plan(asked, job(), facts(), image(), site, CONTAINER)
    return next(op for op in made.inside if isinstance(op, MountRoot))


def test_where_the_root_is_written() -> None:
    assert root(None) == MountRoot(OWNER)
    assert root(None, by_site=True) == MountRoot(OWNER, size="1610612736")
    assert root(WritableSpec(), by_site=False) == MountRoot(OWNER, size="1610612736")
    assert root(WritableSpec(size=1 << 20), by_site=True) == MountRoot(OWNER, size="1048576")
    assert root(WritableSpec(cache=ContainerPath("/mnt")), by_site=True) == MountRoot(OWNER, cache="cache1")


@pytest.mark.parametrize(
    ("home", "workdir", "shown"),
    [
        ("/home/alice", None, ["/home/alice"]),
        ("/home/alice", "/scratch/alice", ["/home/alice", "/scratch/alice"]),
        ("/home/alice", "/home/alice", ["/home/alice"]),
        ("/home/alice", "/home/alice/run", ["/home/alice"]),
        ("/g/alice/home", "/g/alice", ["/g/alice"]),
        ("/home/alice", "/home/alicia", ["/home/alice", "/home/alicia"]),
        ("//home/alice/", "/x:y;z", ["/home/alice", "/x:y;z"]),
        ("/root", "/root", []),
        ("/", "/tmp/x", []),
        ("", None, []),
        ("relative", None, []),
        ("/home/../etc", None, []),
        ("//etc", "/etc/x", []),
        ("/usr/local", "/usr/src", []),
        ("/opt", "/opt/spank-container/bin", []),
        ("/dev/shm/x", "/proc/1", []),
        ("/home", "/mnt", []),
        ("/opt/alice", "/var/lib/alice", ["/opt/alice", "/var/lib/alice"]),
    ],
)
def test_home_and_submit_directory(home: str, workdir: str | None, shown: list[str]) -> None:
    assert own(home, workdir) == shown


def test_own_directories_need_not_be_there() -> None:
    assert mounts(plan())["/home/alice"] == Bind("/home/alice", "/home/alice", OWNER, optional=True)


def test_a_volume_hides_the_own_directories_below_it() -> None:
    assert own("/home/alice", "/scratch/run", "/a:/home", "/b:/scratch") == []
    assert own("/home/alice", None, "/a:/home/alice") == []
    assert own("/home/alice", None, "/a:/home/alice/data") == ["/home/alice"]


def test_each_mount_has_a_place() -> None:
    made = plan("/a:/mnt", "/b:/mnt/b", "/c:/tmp/c", "/d:/data")
    assert places(made) == list(mounts(made))
    assert {"/mnt", "/mnt/b", "/tmp/c", "/dev/shm", "/data", "/etc/hosts"} <= {*places(made)}


def test_mount_points_know_what_the_user_chose() -> None:
    made = [op for op in plan("/a:/data", "/b:/mnt:perNodeCache=size=1G").inside if isinstance(op, MakeMountPoint)]
    assert MakeMountPoint("/data", None, follow=True, by_user=True) in made
    assert MakeMountPoint("/mnt", True, follow=True, by_user=True) in made
    assert MakeMountPoint("/tmp", True, follow=False, by_user=False) in made
    assert MakeMountPoint("/etc/hosts", None, follow=False, by_user=False) in made


def test_generated_files() -> None:
    files = {op.path: op.content for op in plan().inside if isinstance(op, WriteFile)}
    own = [f"/opt/spank-container/{name}" for name in ("entrypoint", "cmd", "variables", "workdir")]
    assert list(files) == ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", *own]
    assert files["/etc/passwd"].endswith("alice:x:1001:1001:Alice Liddell:/home/alice:/bin/bash\n")
    assert files["/etc/group"].endswith("alice:x:1001:alice\nphysics:x:2000:alice\n")
    assert WriteHostsFile("/var/hostsfile", (("n1", 2), ("n2", 2))) in plan().inside


def test_the_tasks_get_the_images_variables() -> None:
    assert "A=1" in plan(source=image("A=1")).environment


def test_policy_comes_first() -> None:
    with pytest.raises(UserError, match="root's jobs get no container"):
        plan(of=job(uid=0))


def test_the_record_is_read_back_as_it_was() -> None:
    made = plan("/a:/b:ro;/c:/mnt:perNodeCache=size=1G", on=replace(facts(), groups=()))
    assert MountPlan.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_every_operation_is_described_in_words() -> None:
    made = plan("/a:/b:ro;/c:/mnt:perNodeCache=size=1G")
    words = [op.describe() for op in (*made.host, *made.inside)]
    assert len(set(words)) == len(words)
    assert "make an xfs file system of 1G at /c" in words
    assert "bind /a at /b read-only" in words
    assert "mount a tmpfs of 50% at /tmp" in words
    assert "attach the cache cache1 at /mnt" in words
    assert "link /opt/udiImage to /opt/spank-container" in words
    assert "build the container and pin it at /run/spank-container/jobs/12/mnt.ns" in words


def test_the_largest_request_is_planned_at_once() -> None:
    """A hostile one is; processor time, since the machine may be busy."""
    targets = ["b/" * (170 + number) + f"c{number}" for number in range(128)]
    started = time.process_time()
    made = plan(*(f"/a:/{target}" for target in targets))
    assert len(mounts(made)) > 128
    assert time.process_time() - started < 0.3

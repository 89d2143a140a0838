"""What /tmp is: in memory, on the node's disk, or the node's own; and that one on disk comes off, whatever is in it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kernel.miniature import ALICE, BOB, Node, in_container, isolated

from spank_container.errors import BusyError
from spank_container.executor import private_tmp
from spank_container.kernel import mounts
from spank_container.kernel.credentials import Credentials, acting_as
from spank_container.kernel.removal import empty_folder
from spank_container.site_config import ContainerConfig

if TYPE_CHECKING:
    from spank_container.state import ContainerDirectory

pytestmark = pytest.mark.kernel


JOB = 1_000_000 + os.getpid()  # other tests on this machine have the same /tmp


def on_disk() -> list[Path]:
    return sorted(Path("/tmp").glob(f"spank-container-{JOB}*"))


def set_tmp(node: Node, kind: str = "private") -> dict[str, str]:
    """Have the site choose it; the environment of a job of alice's."""
    node.config = replace(node.config, container=ContainerConfig(tmp=kind))
    return node.environment(JOB)


def as_alice(directory: ContainerDirectory, script: str) -> str:
    return in_container(directory, script, ALICE)


@isolated
def test_on_disk_it_is_the_jobs_own(node: Node) -> None:
    environments = [set_tmp(node), node.environment(JOB * 10, uid=BOB)]
    first, second = [node.prolog(environment) for environment in environments]
    assert as_alice(first, "echo hello > /tmp/x; cat /tmp/x; stat -c %u:%a /tmp") == f"hello\n{ALICE}:1777\n"
    assert in_container(second, "ls /tmp", BOB) == ""
    (folder, other) = on_disk()
    assert (folder / "tmp/x").read_text() == "hello\n"
    for one in (folder, other):
        assert (one.stat().st_uid, oct(one.stat().st_mode)) == (0, "0o40700")
    for line in in_container(first, "cat /proc/self/mountinfo").splitlines():
        if line.split()[4] == "/tmp":
            assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))
    for environment in environments:
        node.epilog(environment)
    assert on_disk() == []
    node.wait_until_clean()


@isolated
def test_the_nodes_own_is_the_nodes(node: Node) -> None:
    environment = set_tmp(node, "host")
    directory = node.prolog(environment)
    file = Path(f"/tmp/hello-{JOB}")
    assert as_alice(directory, f"echo hello > {file}") == ""
    node.epilog(environment)
    assert file.read_text() == "hello\n"
    file.unlink()


@isolated
def test_a_volume_replaces_it(node: Node) -> None:
    set_tmp(node)
    node.prolog(node.environment(JOB, volumes=(f"{node.path}/work:/tmp",)))
    assert on_disk() == []


NASTY = {
    "closed": "mkdir -p a/b/c; touch a/b/c/x; chmod 0 a/b/c a/b a",
    "itself closed": "mkdir a; touch a/x; chmod 0 .",
    "links": "ln -s / a; ln -s /etc/passwd b; mkdir c; ln -s ../.. c/d; ln b e",
    "names": "mkdir ' ' '*' -- '-x'; touch './-y' ./.z \"$(printf 'a\\nb')\"",
    "taken names": "mkdir -p a/b/c .1/x; touch a/b/c/x",
    "a fifo and a socket's folder": "mknod a p; mkdir .X11-unix; chmod 1777 .X11-unix",
}


@isolated
@pytest.mark.parametrize("script", NASTY.values(), ids=NASTY)
def test_it_comes_off_whatever_a_user_has_left(node: Node, script: str) -> None:
    environment = set_tmp(node)
    directory = node.prolog(environment)
    assert as_alice(directory, f"cd /tmp; {script}") == ""
    descriptors = len(os.listdir("/proc/self/fd"))
    node.epilog(environment)
    assert on_disk() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert Path("/etc/passwd").exists()
    node.wait_until_clean()


@isolated
def test_it_comes_off_however_deep_it_is(node: Node) -> None:
    """Deeper than a path can tell, than a process has descriptors, and than Python recurses."""
    environment = set_tmp(node)
    node.prolog(environment)
    os.chdir(on_disk()[0] / "tmp")
    for _ in range(5000):
        os.mkdir("folder")
        os.chown("folder", ALICE, ALICE)
        os.chdir("folder")
    node.epilog(environment)
    assert on_disk() == []


@isolated
def test_too_much_for_one_epilog_is_left_for_the_next(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = set_tmp(node)
    directory = node.prolog(environment)
    as_alice(directory, "cd /tmp; i=0; while [ $i -lt 200 ]; do : > x$i; mkdir y$i; i=$((i + 1)); done")
    with monkeypatch.context() as patch:
        patch.setattr(private_tmp, "_LONGEST", 0)
        with pytest.raises(BusyError) as caught:
            private_tmp.remove_tmp(directory.record().plan.host[-2], str(on_disk()[0]))  # type: ignore[union-attr,arg-type]
        assert caught.value.report() == (
            f"the job's /tmp is not empty yet: there is too much in it [{on_disk()[0]}]\n"
            "hint: spank-container sweep tries again"
        )
        node.epilog(environment)
        assert len(on_disk()) == 1
        assert not directory.is_ready()
        assert node.state.jobs() == [JOB]
    node.epilog(environment)
    assert on_disk() == []
    node.wait_until_clean()


@isolated
def test_a_tree_that_still_grows_ends_in_time(node: Node) -> None:
    """A process on the node that was handed a folder's descriptor is not in the container, and lives on."""
    folder = node.path / "work/folder"
    folder.mkdir()
    os.chown(folder, ALICE, ALICE)
    pid = os.fork()
    if pid == 0:
        with acting_as(Credentials(ALICE, ALICE, ())):
            while True:
                for number in range(50):
                    os.makedirs(folder / f"a{number}/b/c", exist_ok=True)
    try:
        with mounts.closing(os.open(folder, os.O_RDONLY)) as descriptor, acting_as(Credentials(ALICE, ALICE, ())):
            started = time.monotonic()
            empty_folder(descriptor, started + 1)
        assert time.monotonic() - started < 20
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@isolated
def test_what_is_not_the_users_stays_and_spares_nothing_else(node: Node) -> None:
    folder = node.path / "work/folder"
    (folder / "roots/full").mkdir(parents=True)
    (folder / "mine/deep/er").mkdir(parents=True)
    for path in (folder, folder / "mine", folder / "mine/deep", folder / "mine/deep/er"):
        os.chown(path, ALICE, ALICE)
    with mounts.closing(os.open(folder, os.O_RDONLY)) as descriptor, acting_as(Credentials(ALICE, ALICE, ())):
        assert empty_folder(descriptor, time.monotonic() + 60) == "Permission denied"
    assert os.listdir(folder) == ["roots"]


@isolated
def test_no_other_mount_is_emptied(node: Node) -> None:
    folder = node.path / "work/folder"
    (folder / "inner/mount").mkdir(parents=True)
    mounts.attach(mounts.new_filesystem("tmpfs", {}), str(folder / "inner/mount"))
    (folder / "inner/mount/x").touch()
    with mounts.closing(os.open(folder, os.O_RDONLY)) as descriptor:
        assert empty_folder(descriptor, time.monotonic() + 60) == "Invalid cross-device link"
    assert (folder / "inner/mount/x").exists()


@isolated
def test_what_somebody_put_in_its_place_is_left_alone(node: Node) -> None:
    """In /tmp anybody may make anything, but the journalled name is root's to know, and is looked at before."""
    environment = set_tmp(node)
    node.prolog(environment)
    (folder,) = on_disk()
    elsewhere = folder.rename(node.path / "elsewhere")
    folder.mkdir()
    os.chown(folder, ALICE, ALICE)
    (folder / "tmp").mkdir()
    node.epilog(environment)
    assert (folder / "tmp").exists()
    (folder / "tmp").rmdir()
    folder.rmdir()
    assert (elsewhere / "tmp").exists()

"""perNodeCache on real disks: full ones, ones with quotas, with large sectors, without files that have no name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kernel.miniature import ALICE, Node, in_container, isolated
from kernel.test_crash import die_in_child
from kernel.test_lifecycle import failed_text

from spank_container.kernel import mounts
from spank_container.kernel.credentials import Credentials, acting_as
from spank_container.kernel.loop import attached
from spank_container.site_config import ScratchConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spank_container.state import ContainerDirectory

pytestmark = pytest.mark.kernel
MIB = 1 << 20
GAMES = 5  # somebody whom this machine knows by name, which fusermount(1) asks for


def make_disk(node: Node, size: int, filesystem: str = "ext4", *, sector: int = 0) -> Path:
    """A file system of `size` on a loop device, which is alice's; it goes with this test's mount namespace."""
    place = node.path / "disk"
    place.mkdir()
    # Beside what the node is looked at for when all should be gone.
    with open(node.path.parent / f"disk-of-{node.path.name}", "w+b") as file:
        file.truncate(size)
        with attached(file.fileno(), read_only=False, block_size=sector) as device:
            subprocess.run([f"mkfs.{filesystem}", "-q", device], check=True, capture_output=True)
            with mounts.closing(mounts.new_filesystem(filesystem, {"source": device})) as tree:
                mounts.attach(tree, str(place))
    os.chown(place, ALICE, ALICE)
    return place


def cache(place: Path, size: str, target: str = "/mnt", filesystem: str = "ext4", more: str = "") -> str:
    return f"{place}:{target}:perNodeCache=size={size},fs={filesystem}{more}"


def job(node: Node, *volumes: str, number: int = 7) -> dict[str, str]:
    return node.environment(number, volumes=volumes)


def scratch(node: Node, config: ScratchConfig) -> None:
    node.config = replace(node.config, scratch=config)


def refusal(node: Node, environment: dict[str, str]) -> str:
    """As `failed_text`, beside other jobs."""
    directory = node.prolog(environment)
    assert not directory.is_ready()
    return (directory.path / "failed").read_text()


def free(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize // MIB


def fill(directory: ContainerDirectory, target: str) -> str:
    script = f"dd if=/dev/zero of={target}/x bs=1M count=4096 conv=fsync 2>&1 | grep dd:"
    return in_container(directory, script, ALICE)


@isolated
def test_the_room_is_reserved_for_as_long_as_the_job_lives(node: Node) -> None:
    disk = make_disk(node, 128 * MIB)
    before = free(disk)
    environment = job(node, cache(disk, "64M"))
    directory = node.prolog(environment)
    assert before - free(disk) >= 64
    text = refusal(node, job(node, cache(disk, "64M"), number=8))
    assert text.startswith("perNodeCache: 64M do not fit into the ")
    assert "No space left on device" in fill(directory, "/mnt")
    for one in (environment, node.environment(8)):
        node.epilog(one)
    node.wait_until_clean()
    wait_for(lambda: free(disk) == before)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert what()


@isolated
def test_the_epilog_waits_until_the_room_is_free(node: Node) -> None:
    """The kernel writes back what is in the cache first; the next job finds its room nevertheless."""
    disk = make_disk(node, 128 * MIB)
    for number in range(3):
        environment = job(node, cache(disk, "96M"), number=number)
        directory = node.prolog(environment)
        assert directory.is_ready(), (directory.path / "failed").read_text()
        assert in_container(directory, "dd if=/dev/zero of=/mnt/x bs=1M count=64 2>/dev/null; ls /mnt", ALICE) == "x\n"
        node.epilog(environment)


@isolated
def test_a_cache_that_takes_long_is_left_to_the_sweep(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on the node holds the device; the rest is taken away, and the node stays in service."""
    disk = make_disk(node, 128 * MIB)
    environment = job(node, cache(disk, "64M"))
    node.prolog(environment)
    (device,) = (one.parents[1].name for one in loops_on(disk))
    with mounts.closing(os.open(f"/dev/{device}", os.O_RDONLY)):
        monkeypatch.setattr("spank_container.executor.scratch_end._LONGEST", 0.1)
        node.epilog(environment)
        assert node.state.jobs() == [7]
        assert list(node.state.images.iterdir()) == []
    node.epilog(environment)
    node.wait_until_clean()


@isolated
@pytest.mark.parametrize("filesystem", ["ext4", "tmpfs"])
def test_the_caches_of_a_job_count_together(node: Node, filesystem: str) -> None:
    """Also on a tmpfs, where nothing is reserved, since that would be memory."""
    if filesystem == "tmpfs":
        disk = node.path / "disk"
        disk.mkdir()
        mounts.attach(mounts.new_filesystem("tmpfs", {"size": "128M", "mode": "1777"}), str(disk))
    else:
        disk = make_disk(node, 128 * MIB)
    text = failed_text(node, job(node, cache(disk, "64M"), cache(disk, "72M", "/other")))
    assert text.startswith("perNodeCache: 72M do not fit into the ")
    assert text.endswith(f"M that are free [{disk}]\nhint: ask for less, or name another place\n")
    directory = node.prolog(job(node, cache(disk, "40M"), cache(disk, "32M", "/other")))
    assert in_container(directory, "echo a > /mnt/x; echo b > /other/x; cat /mnt/x /other/x", ALICE) == "a\nb\n"


@isolated
def test_a_place_of_the_sites_that_is_full_fails_the_job_and_not_the_node(node: Node) -> None:
    disk = make_disk(node, 64 * MIB)
    os.chown(disk, 0, 0)
    disk.chmod(0o700)
    scratch(node, ScratchConfig(path=str(disk)))
    assert node.prolog(job(node, cache(Path("/x"), "40M"))).is_ready()
    text = refusal(node, job(node, cache(Path("/x"), "48M"), number=8))
    assert text.startswith("perNodeCache: 48M do not fit into the ")


@isolated
@pytest.mark.parametrize(("filesystem", "disk_size"), [("ext4", 64), ("xfs", 160)])
def test_a_cache_that_was_promised_too_much_ends_with_an_error(node: Node, filesystem: str, disk_size: int) -> None:
    disk = make_disk(node, disk_size * MIB)
    scratch(node, ScratchConfig(overcommit=True))
    environment = job(node, cache(disk, "300M", filesystem=filesystem))
    directory = node.prolog(environment)
    assert fill(directory, "/mnt")
    started = time.monotonic()
    node.epilog(environment)
    node.wait_until_clean()
    assert time.monotonic() - started < 60


@isolated
def test_a_disk_that_is_full_already_is_the_users_affair(node: Node) -> None:
    disk = make_disk(node, 32 * MIB)
    with open(disk / "big", "wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(MIB))
    scratch(node, ScratchConfig(overcommit=True))
    text = failed_text(node, job(node, cache(disk, "300M", filesystem="xfs")))
    assert text == (
        f"perNodeCache: making a file of 300M: No space left on device [{disk}]\n"
        "hint: ask for less, or name another place\n"
    )


@isolated
@pytest.mark.parametrize("config", [ScratchConfig(), ScratchConfig(overcommit=True)])
def test_a_quota_is_told_in_words(node: Node, config: ScratchConfig) -> None:
    """btrfs has quotas by subvolume; this kernel has no others."""
    disk = make_disk(node, 512 * MIB, "btrfs")
    for command in (["quota", "enable"], ["qgroup", "limit", "16M"]):
        subprocess.run(["btrfs", *command, disk], check=True, capture_output=True)
    scratch(node, config)
    text = failed_text(node, job(node, cache(disk, "300M", filesystem="xfs")))
    assert text == (
        f"perNodeCache: making a file of 300M: Disk quota exceeded [{disk}]\n"
        "hint: ask for less, or name another place\n"
    )


BLOCKS = [("xfs", 1024), ("xfs", 2048), ("xfs", 4096), ("ext4", 1024), ("ext4", 2048), ("ext4", 4096)]


@isolated
@pytest.mark.parametrize(("filesystem", "block"), BLOCKS)
@pytest.mark.parametrize("sector", [512, 4096])
def test_block_sizes_on_disks_of_any_sector_size(node: Node, filesystem: str, block: int, sector: int) -> None:
    disk = make_disk(node, 512 * MIB, sector=sector)
    directory = node.prolog(job(node, cache(disk, "300M", filesystem=filesystem, more=f",bs={block}")))
    assert in_container(directory, "stat -f -c %S /mnt") == f"{block}\n"
    assert in_container(directory, "echo hello > /mnt/x; cat /mnt/x", ALICE) == "hello\n"


@isolated
def test_pages_are_not_cached_twice(node: Node) -> None:
    disk = make_disk(node, 512 * MIB)
    node.prolog(job(node, cache(disk, "300M", filesystem="xfs")))
    assert [one.read_text() for one in loops_on(disk)] == ["1\n"]


def loops_on(disk: Path) -> list[Path]:
    """What says of each loop device over a file on `disk` whether it does direct I/O."""
    found = Path("/sys/block").glob("loop*/loop/backing_file")
    return [file.with_name("dio") for file in found if file.read_text().startswith(f"{disk}/")]


@isolated
def test_xfs_does_not_try_for_ever_to_write_what_has_no_room(node: Node) -> None:
    """Who waits for that cannot be killed, and an Epilog that waits in vain takes the node out of service."""
    disk = make_disk(node, 512 * MIB)
    node.prolog(job(node, cache(disk, "300M", filesystem="xfs")))
    (device,) = (one.parents[1].name for one in loops_on(disk))
    retries = Path(f"/sys/fs/xfs/{device}/error/metadata").glob("*/max_retries")
    assert {one.parent.name: one.read_text() for one in retries} == {
        "ENOSPC": "0\n",
        "EIO": "0\n",
        "default": "0\n",
    } | {"ENODEV": "0\n"}


@isolated
def test_root_needs_no_right_of_its_own_on_what_is_the_users(node: Node) -> None:
    """As where root is squashed: this Prolog cannot enter a folder that is closed to others than alice."""
    closed = node.path / "work/closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner/file").write_text("hello")
    for path in (closed / "inner/file", closed / "inner", closed):
        os.chown(path, ALICE, ALICE)
    closed.chmod(0o700)
    (closed / "inner").chmod(0o700)
    lose_roots_rights_on_files()
    with pytest.raises(PermissionError):
        os.listdir(closed)
    volumes = (f"{closed}/inner:/data", cache(closed / "inner", "16M"), f"{closed}/inner:/data/made")
    environment = job(node, *volumes)
    directory = node.prolog(environment)
    assert (directory.path / "ready").exists(), (directory.path / "failed").read_text()
    assert in_container(directory, "cat /data/file /data/made/file; echo x > /mnt/x; cat /mnt/x", ALICE) == (
        "hellohellox\n"
    )
    node.epilog(environment)
    with acting_as(Credentials(ALICE, ALICE, ())):
        assert sorted(os.listdir(closed / "inner")) == ["file", "made"]


def lose_roots_rights_on_files() -> None:
    """CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, for this process and what it starts; capabilities(7)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):
        assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    for index in (0, 1):
        data[index] &= ~0b110
    assert libc.capset(header, data) == 0


@contextlib.contextmanager
def served(node: Node, *program: str, by: int = 0) -> Iterator[Path]:
    """A folder that belongs to who serves it, or to alice where that is root; FUSE knows no file without a name."""
    place = node.path / "work/place"
    for folder in (place, *(node.path / name for name in ("behind", "upper", "working"))):
        folder.mkdir()
        os.chown(folder, by or ALICE, by or ALICE)
    for_all(node)
    leash = ("setpriv", "--pdeathsig", "KILL", "--")  # a server whose mount was taken away spins
    command = [word.format(node.path) for word in (*leash, *program, "-f", "-o", "allow_other")]
    server = subprocess.Popen(
        [*command, *([node.path / "behind"] if "bindfs" in command else []), place],
        user=by or None,
        group=by or None,
        extra_groups=[] if by else None,
    )
    try:
        wait_for(lambda: mounts.is_mount_point(str(place)))
        yield place
    finally:
        mounts.unmount(str(place))
        server.kill()
        server.wait(30)


# A file that is removed while it is open keeps a name with bindfs, as on NFS: .fuse_hidden is .nfs there.
KEEPS_NAMES = ("bindfs",)
HIDES = ("fuse-overlayfs", "-o", "lowerdir={0}/behind,upperdir={0}/upper,workdir={0}/working")


def for_all(node: Node) -> None:
    """Let users serve file systems to others, in this namespace."""
    (node.path / "fuse.conf").write_text("user_allow_other\n")
    os.mknod(node.path / "fuse", stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)
    (node.path / "fuse").chmod(0o666)
    mounts.bind(str(node.path / "fuse.conf"), "/etc/fuse.conf")
    mounts.bind(str(node.path / "fuse"), "/dev/fuse")


CANNOT_HIDE = (
    "perNodeCache: this file system cannot keep a file from its owner: {}\n"
    "hint: name a folder of another file system; the site may name one for all (scratch.path)\n"
)


@isolated
def test_a_file_system_that_a_user_serves_is_refused(node: Node) -> None:
    """What the kernel mounts would be whatever the user's program says it is."""
    with served(node, *KEEPS_NAMES, by=GAMES) as place:
        text = failed_text(node, job(node, cache(place, "16M")))
    assert text == (
        f"perNodeCache: {place} is on a file system that a user serves, and the kernel may not rely on that\n"
        "hint: name a folder of another file system\n"
    )


@isolated
def test_a_file_system_that_does_not_answer_fails_the_job(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user may have stopped the program that serves it, to have the Prolog hang, and the node drained."""
    monkeypatch.setattr("spank_container.executor.scratch._LONGEST_LOOK", 1)
    with served(node, *KEEPS_NAMES, by=GAMES) as place:
        (server,) = (int(pid) for pid in os.listdir("/proc") if pid.isdecimal() and serves(pid, place))
        os.kill(server, signal.SIGSTOP)
        try:
            text = failed_text(node, job(node, cache(place / "folder", "16M")))
        finally:
            os.kill(server, signal.SIGCONT)
    assert text == f"{place}/folder does not answer\nhint: is a file system hanging?\n"


def serves(pid: str, place: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"\0{place}\0".encode())
    return False


@isolated
def test_where_every_file_has_a_name_nobody_can_use_it(node: Node) -> None:
    with served(node, *HIDES) as place:
        environment = job(node, cache(place, "16M"))
        directory = node.prolog(environment)
        assert directory.is_ready(), (directory.path / "failed").read_text()
        assert in_container(directory, "echo hello > /mnt/x; cat /mnt/x", ALICE) == "hello\n"
        assert os.listdir(place) == []
        node.epilog(environment)
        node.wait_until_clean()


@isolated
def test_where_root_is_nobody_too_there_is_no_cache(node: Node) -> None:
    with served(node, *HIDES) as place:
        lose_roots_rights_on_files()
        text = failed_text(node, job(node, cache(place, "16M")))
        assert text == CANNOT_HIDE.format("root is nobody there")


@isolated
def test_where_a_file_in_use_keeps_a_name_there_is_no_cache(node: Node) -> None:
    with served(node, *KEEPS_NAMES) as place:
        text = failed_text(node, job(node, cache(place, "16M")))
        assert text == CANNOT_HIDE.format("a file that is in use keeps a name there")
        assert os.listdir(place) == []


@isolated
def test_an_owner_who_tries_gets_at_no_file_while_it_has_a_name(node: Node) -> None:
    """Alice looks all the time, on another processor, and uses each of the names that she may find."""
    with served(node, *HIDES) as place:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(ALICE)
                os.setuid(ALICE)
                attack(place, writing)
            finally:
                os._exit(1)
        for number in range(15):
            environment = job(node, cache(place, "16M"), number=number)
            assert node.prolog(environment).is_ready()
            node.epilog(environment)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(writing)
        with open(reading, encoding="ascii") as report:
            seen = report.read().splitlines()
    assert {line for line in seen if line.startswith("saw ")}, "the attack never came in between"
    assert not [line for line in seen if line.startswith("got ")]


def attack(place: Path, report: int) -> None:
    known = set()
    while True:
        for name in os.listdir(place):
            if name not in known:
                known.add(name)
                os.write(report, f"saw {name}\n".encode())
            for use in USES:
                with contextlib.suppress(OSError):
                    use(place / name / "file")
                    os.write(report, f"got {name}\n".encode())


USES: list[Callable[[Path], object]] = [
    lambda path: os.open(path, os.O_RDWR),
    lambda path: os.open(path, os.O_PATH),  # no access by itself, but it can be opened again, after the name is gone
    lambda path: os.link(path, path.parent.parent / "linked"),
    lambda path: os.rename(path, path.parent.parent / "renamed"),
    lambda path: os.listdir(path.parent),
]


def die_with_a_name(node: Node, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prolog that is killed between the making of the file and the end of its name."""
    real_unlink = os.unlink

    def dying_unlink(path: str, **kwargs: int) -> None:
        if path == "file":
            os.kill(os.getpid(), signal.SIGKILL)
        real_unlink(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", dying_unlink)
        assert die_in_child(lambda: node.prolog(environment)) == signal.SIGKILL


@isolated
def test_a_crash_while_the_file_has_a_name_leaves_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(node, *HIDES) as place:
        environment = job(node, cache(place, "16M"))
        die_with_a_name(node, environment, monkeypatch)
        (left,) = place.iterdir()
        assert left.name.startswith("spank-container-7-n1-cache0.")
        assert (left.stat().st_uid, oct(left.stat().st_mode)) == (0, "0o40700")
        node.epilog(environment)
        assert os.listdir(place) == []
        node.wait_until_clean()


@isolated
def test_what_a_user_has_put_in_its_place_is_left_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(node, *HIDES) as place:
        environment = job(node, cache(place, "16M"))
        die_with_a_name(node, environment, monkeypatch)
        (left,) = place.iterdir()
        (node.path / "victim").mkdir()
        (node.path / "victim/file").touch()
        left.rename(place / "renamed")
        left.symlink_to(node.path / "victim")
        node.epilog(environment)
        assert left.is_symlink()
        assert (node.path / "victim/file").exists()
        assert node.left_over() == []

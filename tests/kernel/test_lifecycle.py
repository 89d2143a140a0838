"""What a container is like, and that its end leaves nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from kernel.miniature import ALICE, BOB, Node, in_container, isolated

from spank_container import lifecycle
from spank_container.kernel import mounts
from spank_container.site_config import ScratchConfig, SiteConfig

pytestmark = pytest.mark.kernel
GIB = 1 << 30


def failed_text(node: Node, environment: dict[str, str]) -> str:
    """The refusal that the tasks will see; nothing but it may be left."""
    directory = node.prolog(environment)
    assert not directory.is_ready()
    text = (directory.path / "failed").read_text()
    assert [path.name for path in directory.path.iterdir()] == ["failed"]
    node.epilog(environment)
    assert node.left_over() == []
    return text


@isolated
def test_the_root_is_the_image_and_cannot_be_written(node: Node) -> None:
    directory = node.prolog(node.environment())
    assert in_container(directory, "cat /etc/name") == "one"
    assert "Read-only file system" in in_container(directory, "touch /x /etc/x")
    assert "Read-only file system" in in_container(directory, "touch /opt/spank-container/x")


@isolated
def test_every_mount_but_the_kernels_own_is_nosuid_and_nodev(node: Node) -> None:
    volume = f"{node.path}/work:/data"
    directory = node.prolog(node.environment(volumes=(volume, f"{node.path}/work:/mnt:perNodeCache=size=300M")))
    lines = [line.split() for line in in_container(directory, "cat /proc/self/mountinfo").splitlines()]
    assert {"/", "/data", "/mnt", "/tmp", "/dev/shm", "/etc/hosts"} <= {line[4] for line in lines}
    for line in lines:
        if line[4] == "/dev/shm" and "spank-container" not in line:
            continue  # the host's own, which ours hides
        if line[4].split("/")[1] not in {"proc", "sys", "dev"} or line[4] == "/dev/shm":
            assert {"nosuid", "nodev"} <= set(line[5].split(",")), line
        assert not any(word.startswith(("shared:", "master:")) for word in line), line


@isolated
def test_accounts_hosts_and_support_are_there(node: Node) -> None:
    directory = node.prolog(node.environment())
    passwd = in_container(directory, "cat /etc/passwd")
    assert passwd.startswith("root:x:0:0:root:/root:/bin/sh\n")
    assert passwd.count("alice") == 1
    assert f"alice:x:{ALICE}:{ALICE}:" in passwd
    assert "old" not in passwd
    assert in_container(directory, "cat /var/hostsfile") == "n1\nn1\nn2\n"
    assert in_container(directory, "readlink /opt/udiImage") == "/opt/spank-container\n"
    assert in_container(directory, "/opt/udiImage/bin/shifter cat /etc/name") == "one"
    assert in_container(directory, "ls -l /etc/localtime")[0] == "-"


@isolated
def test_tmp_and_shm_are_the_jobs_own(node: Node) -> None:
    first = node.prolog(node.environment(7))
    second = node.prolog(node.environment(8, uid=BOB))
    in_container(first, "touch /tmp/mine /dev/shm/mine", ALICE)
    assert in_container(first, "ls /tmp /dev/shm").count("mine") == 2
    assert "mine" not in in_container(second, "ls /tmp /dev/shm")
    assert not Path("/tmp/mine").exists()


@isolated
@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_the_cache_is_the_users_own_file_system(node: Node, filesystem: str) -> None:
    environment = node.environment(volumes=(f"{node.path}/work/file:/mnt:perNodeCache=size=1G,fs={filesystem}",))
    directory = node.prolog(environment)
    assert filesystem in in_container(directory, "mount").split(" on /mnt ")[1]
    assert in_container(directory, "stat -c %u:%a /mnt") == f"{ALICE}:700\n"
    blocks = int(in_container(directory, "stat -f -c %b /mnt")) * int(in_container(directory, "stat -f -c %S /mnt"))
    assert 0.8 * GIB < blocks <= GIB
    assert in_container(directory, "dd if=/dev/zero of=/mnt/x bs=1M count=8 2>/dev/null; stat -c %s /mnt/x", ALICE)
    assert list((node.path / "work").iterdir()) == []
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_the_end_of_a_job_leaves_nothing(node: Node) -> None:
    environment = node.environment(volumes=(f"{node.path}/work:/data",))
    assert node.prolog(environment).is_ready()
    assert node.left_over() != []
    node.epilog(environment)
    node.wait_until_clean()
    node.epilog(environment)  # Slurm may run it twice


@isolated
def test_jobs_share_one_mount_of_an_image_and_end_apart(node: Node) -> None:
    environments = [node.environment(7), node.environment(8, uid=BOB), node.environment(9, image="two")]
    directories = [node.prolog(environment) for environment in environments]
    mountinfo = Path("/proc/self/mountinfo").read_text()
    assert mountinfo.count(" - squashfs ") == 2
    node.epilog(environments[0])
    assert [in_container(one, "cat /etc/name") for one in directories[1:]] == ["one", "two"]
    node.epilog(environments[1])
    node.epilog(environments[2])
    node.wait_until_clean()


@isolated
def test_a_second_prolog_of_the_same_run_keeps_the_container(node: Node) -> None:
    directory = node.prolog(node.environment())
    namespace = directory.pin.stat().st_ino
    node.prolog(node.environment())
    assert directory.pin.stat().st_ino == namespace


@isolated
def test_a_requeued_job_gets_a_new_container(node: Node) -> None:
    directory = node.prolog(node.environment())
    in_container(directory, "touch /tmp/old")
    node.prolog(node.environment(restart=1))
    assert in_container(directory, "ls /tmp") == ""
    node.epilog(node.environment(restart=1))
    node.wait_until_clean()


@isolated
def test_a_requeued_job_that_asks_for_nothing_gets_nothing(node: Node) -> None:
    environment = node.environment()
    node.prolog(environment)
    without = {name: value for name, value in environment.items() if not name.startswith("SPANK")}
    node.prolog(without | {"SLURM_JOB_RESTART_COUNT": "1"})
    node.wait_until_clean()


@isolated
def test_a_target_follows_the_images_links_and_stays_inside(node: Node) -> None:
    work = node.path / "work"
    (work / "file").write_text("hello")
    directory = node.prolog(node.environment(volumes=(f"{work}:/var/run/x", f"{work}:/escape", f"{work}/file:/new/f")))
    for path in ("/run/x/file", "/real/file", "/new/f"):
        assert in_container(directory, f"cat {path}") == "hello"
    assert in_container(directory, "readlink /var/run") == "/run\n"


@isolated
def test_volumes_nest_whatever_their_order(node: Node) -> None:
    inner, outer = node.path / "work/inner", node.path / "work/outer"
    (outer / "place").mkdir(parents=True)
    inner.mkdir()
    (inner / "file").write_text("hello")
    directory = node.prolog(node.environment(volumes=(f"{inner}:/data/place", f"{outer}:/data:ro")))
    assert in_container(directory, "cat /data/place/file") == "hello"
    assert "Read-only" in in_container(directory, "touch /data/x")


@isolated
def test_a_cache_may_be_the_jobs_tmp(node: Node) -> None:
    directory = node.prolog(node.environment(volumes=(f"{node.path}/work:/tmp:perNodeCache=size=300M",)))
    assert "xfs" in in_container(directory, "mount").split(" on /tmp ")[1]


@isolated
def test_the_submit_directory_is_there(node: Node) -> None:
    mounts.attach(mounts.new_filesystem("tmpfs", {}), "/srv")  # what lies in /tmp is never shown
    Path("/srv/submit").mkdir()
    Path("/srv/submit/here").write_text("hello")
    directory = node.prolog(node.environment() | {"SLURM_JOB_WORK_DIR": "/srv/submit"})
    assert in_container(directory, "cat /srv/submit/here") == "hello"


@isolated
def test_an_image_that_went_away_is_the_users_affair(node: Node) -> None:
    text = failed_text(node, node.environment(image=f"sha256:{'f' * 64}"))
    assert text == f"the image id:sha256:{'f' * 64} is not in the store\nhint: see: spank-container images\n"


@isolated
def test_a_forged_request_is_refused(node: Node) -> None:
    text = failed_text(node, node.environment() | {"SPANK_CONTAINER_REQUEST": "{}"})
    assert text == (
        "SPANK_CONTAINER_REQUEST does not hold a container request\n"
        "hint: do not set it by hand; submit with --image and --volume\n"
    )


@isolated
def test_root_gets_no_container(node: Node) -> None:
    text = failed_text(node, node.environment(uid=0))
    assert text == "root's jobs get no container on this cluster\nhint: submit as an ordinary user\n"


@isolated
def test_a_source_that_the_user_cannot_reach_is_refused(node: Node) -> None:
    secret = node.path / "secret"
    (secret / "below").mkdir(parents=True)
    secret.chmod(0o700)
    hint = "hint: check the path, and that you may read it\n"
    for source in (secret, secret / "below"):
        text = failed_text(node, node.environment(volumes=(f"{source}:/data",)))
        assert text == f"--volume: {source}: Permission denied\n{hint}"
    text = failed_text(node, node.environment(volumes=(f"{node.path}/absent:/data",)))
    assert text == f"--volume: {node.path}/absent: No such file or directory\n{hint}"


@isolated
@pytest.mark.parametrize("flag", ["", ":ro"])
def test_a_source_that_is_no_folder_and_no_file_is_refused(node: Node, flag: str) -> None:
    os.mkfifo(node.path / "work/fifo", 0o666)
    hint = "hint: name a folder or a file\n"
    for source in (node.path / "work/fifo", Path("/dev/null")):
        text = failed_text(node, node.environment(volumes=(f"{source}:/data{flag}",)))
        assert text == f"--volume: {source} is neither a folder nor a file\n{hint}"


@isolated
@pytest.mark.parametrize("link", ["cwd", "root", "fd/0"])
def test_a_source_behind_a_magic_link_of_proc_is_refused(node: Node, link: str) -> None:
    """They would lead where this process, which is root's, is, past the permissions of the way there."""
    text = failed_text(node, node.environment(volumes=(f"/proc/self/{link}:/data",)))
    assert text == (
        f"--volume: /proc/self/{link}: Too many levels of symbolic links\n"
        "hint: check the path, and that you may read it\n"
    )
    text = failed_text(node, node.environment(volumes=(f"/proc/self/{link}/x:/data:perNodeCache=size=1G",)))
    assert text.startswith("perNodeCache: making a file of 1G: Too many levels of symbolic links [/proc/self/")


@isolated
def test_a_link_of_the_image_leads_no_volume_over_the_containers_own(node: Node) -> None:
    text = failed_text(node, node.environment(volumes=(f"{node.path}/work:/trap",)))
    assert text == (
        "--volume: /trap leads in this image to /etc, which belongs to the container itself\n"
        "hint: choose another target\n"
    )
    text = failed_text(node, node.environment(volumes=(f"{node.path}/work:/loop/x",)))
    assert text == ("/loop/x leads through too many symbolic links of the image\nhint: choose another target\n")


@isolated
@pytest.mark.parametrize(
    ("link", "place"), [("/etc", "/etc"), ("../etc/", "/etc"), ("/proc/sys", "/proc/sys"), ("/", "/")]
)
def test_a_link_on_a_volume_leads_no_other_volume_over_the_containers_own(node: Node, link: str, place: str) -> None:
    (node.path / "work/trap").symlink_to(link)
    for flags in ("", ":perNodeCache=size=16M,fs=ext4"):
        volumes = (f"{node.path}/work:/zone", f"{node.path}/work:/zone/trap{flags}")
        assert failed_text(node, node.environment(volumes=volumes)) == (
            f"--volume: /zone/trap leads through a link on another volume to {place}, which belongs to the container itself\n"
            "hint: choose another target\n"
        )


@isolated
def test_a_cache_that_cannot_be_made_is_the_users_affair(node: Node) -> None:
    (node.path / "closed").mkdir(mode=0o755)
    text = failed_text(node, node.environment(volumes=(f"{node.path}/closed:/mnt:perNodeCache=size=1G",)))
    assert text == (
        f"perNodeCache: making a file of 1G: Permission denied [{node.path}/closed]\n"
        "hint: name a folder that exists, that you may write, and that has room\n"
    )
    text = failed_text(node, node.environment(volumes=(f"{node.path}/work:/mnt:perNodeCache=size=4P",)))
    assert text.startswith("perNodeCache: 4P do not fit into the ")
    assert text.endswith(f"M that are free [{node.path}/work]\nhint: ask for less, or name another place\n")


@isolated
def test_the_sites_place_is_used_in_place_of_the_users(node: Node) -> None:
    (node.path / "site").mkdir()
    node.config = SiteConfig(images=node.config.images, scratch=ScratchConfig(path=f"{node.path}/site"))
    environment = node.environment(volumes=("/nowhere/at/all:/mnt:perNodeCache=size=300M",))
    directory = node.prolog(environment)
    assert in_container(directory, "stat -c %u /mnt") == f"{ALICE}\n"
    backing = [file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert any(f"{node.path}/site/" in name for name in backing)
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_no_program_is_left_running(node: Node) -> None:
    node.prolog(node.environment())
    assert subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, check=False).stdout.count(b"\n") <= 1


@isolated
def test_sweep_takes_the_dead_and_leaves_the_living(node: Node) -> None:
    dead, living = node.environment(7), node.environment(8)
    node.prolog(dead)
    directory = node.prolog(living)
    assert lifecycle.sweep(node.state, lambda: [8]) == [7]
    assert in_container(directory, "cat /etc/name") == "one"
    assert lifecycle.sweep(node.state, list) == [8]
    node.wait_until_clean()


@isolated
def test_sweep_leaves_a_job_that_starts_while_slurm_is_asked(node: Node) -> None:
    def live_jobs() -> list[int]:
        node.prolog(node.environment(9))
        return []  # what Slurm said before job 9 was there

    assert lifecycle.sweep(node.state, live_jobs) == []
    assert node.state.job(9).is_ready()


@isolated
@pytest.mark.parametrize(("image", "what"), [("files", "Not a directory"), ("long", "File name too long")])
def test_an_image_whose_links_lead_astray_fails_its_job_and_not_the_node(node: Node, image: str, what: str) -> None:
    text = failed_text(node, node.environment(image=image))
    assert text == (
        f"write /var/hostsfile, 3 lines: {what}, where the links of this image lead\n"
        "hint: the image has to be built again\n"
    )


@isolated
def test_the_kernels_file_systems_are_where_they_belong_whatever_the_image_links(node: Node) -> None:
    directory = node.prolog(node.environment(image="proc"))
    points = [line.split()[4] for line in in_container(directory, "cat /proc/self/mountinfo").splitlines()]
    assert {"/proc", "/dev", "/sys", "/tmp", "/dev/shm"} <= set(points)
    assert in_container(directory, "cat /etc/name") == "proc"

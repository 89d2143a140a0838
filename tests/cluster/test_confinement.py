"""What a task cannot do in its container: win privileges, write to the image, see the node's own places."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cluster.output import sections

from sandbox.cluster import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cluster import Cluster

# Says with which rights it runs; static, so that it runs in every image.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");

    printf("euid %d", (int)geteuid());
    while (status && fgets(line, sizeof(line), status))
        if (!strncmp(line, "CapEff:\t", 8))
            printf(" effective %.*s", (int)strcspn(line + 8, "\n"), line + 8);
    printf("\n");
    return 0;
}
"""
ALICE = "uid=2001(alice) gid=2001(alice) groups=2001(alice),3000(science),3001(project-alice)\n"
POWERLESS = f"euid 2001 effective {0:016}\n"
# struct vfs_cap_data of linux/capability.h, revision 2: all capabilities permitted, and effective at once.
ALL_CAPABILITIES = (0x02000001).to_bytes(4, "little") + b"\xff" * 4 + b"\0" * 4 + b"\xff" * 4 + b"\0" * 4

SCRIPT = r"""
echo "== status"; cat /proc/self/status
echo "== mounts"; cat /proc/self/mountinfo
echo "== image's setuid"; stat -c %a /bin/busybox-setuid; busybox-setuid id
echo "== setuid"; /programs/setuid
echo "== capabilities"; /programs/capabilities
for folder in / /bin /etc /var /usr/bin /opt /opt/spank-container; do
    echo "== write $folder"; touch $folder/new 2>&1
done
echo "== remount"; busybox mount -o remount,rw / 2>&1
echo "== unmount"; busybox umount /tmp 2>&1
echo "== mknod"; busybox mknod /tmp/null c 1 3 2>&1
echo "== chroot"; busybox chroot / id 2>&1
echo "== /tmp"; ls -A /tmp; touch /tmp/mine && ls /tmp
echo "== /dev/shm"; ls -A /dev/shm; touch /dev/shm/mine && ls /dev/shm
echo "== /run"; ls -A /run 2>&1
echo "== init's root"; ls /proc/1/root/ 2>&1
echo "== init's namespace"; ls /proc/1/ns/ 2>&1
echo "== descriptors"; for fd in /proc/self/fd/*; do echo "$(readlink $fd)"; done
echo "== id"; id
"""
DENIED = re.compile(r".*(Permission denied|Operation not permitted|can't).*", re.IGNORECASE)


@pytest.fixture(scope="module")
def programs(site: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where alice could win root's rights on the host: a setuid program and one with capabilities, both root's."""
    folder = DATA / "shared/programs"
    folder.mkdir()
    source = tmp_path_factory.mktemp("source") / "rights.c"
    source.write_text(PROGRAM)
    for name in ("setuid", "capabilities"):
        subprocess.run(["gcc", "-static", "-o", folder / name, source], check=True)
    (folder / "setuid").chmod(0o4755)
    os.setxattr(folder / "capabilities", "security.capability", ALL_CAPABILITIES)
    site.members["n1"].sh("echo secret > /tmp/of-the-node; echo secret > /dev/shm/of-the-node")
    return folder


@pytest.fixture(scope="module")
def inside(site: Cluster, programs: Path) -> dict[str, str]:
    volume = f"--volume=/shared/{programs.name}:/programs"
    done = site.run(["srun", "-w", "n1", "--image=docker:busybox", volume, "sh", "-c", SCRIPT])
    assert done.returncode == 0, done.stderr
    return sections(done.stdout)


def test_the_programs_do_give_rights_on_the_host(site: Cluster, programs: Path) -> None:
    folder = f"/shared/{programs.name}"
    assert site.run([f"{folder}/setuid"], node="n1").stdout.startswith("euid 0 ")
    assert POWERLESS not in site.run([f"{folder}/capabilities"], node="n1").stdout


@pytest.mark.parametrize("program", ["setuid", "capabilities"])
def test_a_program_wins_nothing(inside: dict[str, str], program: str) -> None:
    assert inside[program] == POWERLESS


def test_the_images_setuid_programs_give_nothing(inside: dict[str, str]) -> None:
    """The bit is dropped when the image is converted, on top of all else."""
    assert inside["image's setuid"] == f"755\n{ALICE}"


def test_the_task_is_the_user_with_all_groups(inside: dict[str, str]) -> None:
    assert inside["id"] == ALICE


@pytest.mark.parametrize("name", ["CapEff", "CapBnd", "CapInh", "CapPrm", "CapAmb"])
def test_there_are_no_capabilities(inside: dict[str, str], name: str) -> None:
    assert f"{name}:\t{0:016}\n" in inside["status"]


def test_there_are_no_new_privileges(inside: dict[str, str]) -> None:
    assert "NoNewPrivs:\t1\n" in inside["status"]


def mounts(inside: dict[str, str]) -> list[tuple[str, set[str], list[str]]]:
    """Target, options and propagation of each."""
    lines = [line.split() for line in inside["mounts"].splitlines()]
    return [(words[4], set(words[5].split(",")), words[6 : words.index("-")]) for words in lines]


def is_of_the_kernel(target: str) -> bool:
    below = any(target == top or target.startswith(f"{top}/") for top in ("/proc", "/sys", "/dev"))
    return below and target != "/dev/shm"


def test_every_mount_but_the_kernels_is_nosuid_and_nodev(inside: dict[str, str]) -> None:
    others = {target: options for target, options, _ in mounts(inside) if not is_of_the_kernel(target)}
    assert {"/", "/tmp", "/dev/shm", "/home/alice", "/programs"} <= others.keys()
    assert {target: options for target, options in others.items() if not options >= {"nosuid", "nodev"}} == {}


def test_no_mount_propagates(inside: dict[str, str]) -> None:
    """The node's mounts are shared, as systemd makes them: what is mounted in one place must not appear in others."""
    assert [(target, tags) for target, _, tags in mounts(inside) if tags] == []


@pytest.mark.parametrize("folder", ["/", "/bin", "/etc", "/var", "/usr/bin", "/opt", "/opt/spank-container"])
def test_the_root_is_read_only(inside: dict[str, str], folder: str) -> None:
    assert "Read-only file system" in inside[f"write {folder}"] or "Permission denied" in inside[f"write {folder}"]


def test_the_root_is_read_only_whoever_asks(inside: dict[str, str]) -> None:
    root = next(line for line in inside["mounts"].splitlines() if line.split()[4] == "/")
    assert root.split(" - ")[1].startswith("overlay ")
    assert "ro" in root.split(" - ")[1].split()[2].split(",")


@pytest.mark.parametrize("act", ["remount", "unmount", "mknod", "chroot", "init's root", "init's namespace"])
def test_the_task_may_not(inside: dict[str, str], act: str) -> None:
    assert DENIED.search(inside[act])


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_it_is_the_jobs_own(inside: dict[str, str], folder: str) -> None:
    assert inside[folder] == "mine\n"


def test_the_nodes_state_is_nowhere(inside: dict[str, str]) -> None:
    assert "spank-container" not in inside["/run"]
    assert not any(target.startswith("/run/spank-container") for target, _, _ in mounts(inside))


def test_no_descriptor_of_ours_leaks(inside: dict[str, str]) -> None:
    """Slurm's own are pipes and sockets; ours would be folders and namespaces."""
    opened = inside["descriptors"].split("\n")[:-1]
    assert len(opened) >= 3
    assert [name for name in opened if not re.match(r"(pipe|socket):\[\d+\]$|/dev/null$|/proc/\d+/fd$|$", name)] == []

"""Rows 11 to 19: runc's, where images and races led a privileged runtime out of the container."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from security.attack import BUSYBOX, DEBIAN, ON_ONE_RELEASE, flipping, forged, hostile_image, seen, step, volume, words

from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

pytestmark = [ON_ONE_RELEASE, pytest.mark.usefixtures("hostile", "clean_afterwards")]
DENIED = re.compile("permission denied|operation not permitted|read-only file system|text file busy", re.IGNORECASE)

PROGRAMS = (
    "sha256sum /usr/sbin/slurmstepd /opt/spank-container/bin/* $(readlink -f /opt/spank-container/venv/bin/python3)"
)
OVERWRITE = """
echo "== parent"; (: >> /proc/$PPID/exe) 2>&1
echo "== init"; (: >> /proc/1/exe) 2>&1
echo "== ours"; (: >> /opt/spank-container/bin/shifter) 2>&1
echo "== own"; (: >> /proc/self/exe) 2>&1; true
"""


def test_row_11_runc_cve_2019_5736_the_runtime_is_overwritten_through_proc_self_exe(site: Cluster) -> None:
    """What becomes the task is slurmstepd's own program until it execs: an image can make it exec itself."""
    before = site.members["n1"].sh(PROGRAMS)
    said = seen(site, OVERWRITE, hostile_image("row11"))
    assert {heading: text for heading, text in said.items() if not DENIED.search(text)} == {}
    for program in ("/proc/self/exe", "/bin/runtime"):
        done = site.run(["timeout", "20", "srun", "--nodelist=n1", hostile_image("row11"), program])
        assert done.returncode not in {0, 124}
    assert site.members["n1"].sh(PROGRAMS) == before


PROC, SYSFS, TMPFS, DEVPTS = "9fa0\n", "62656572\n", "1021994\n", "1cd1\n"
FILE_SYSTEMS = 'for place in /proc /sys /dev/shm /dev/pts; do echo "== $place"; stat -f -c %t $place; done; '


def test_row_12_runc_cve_2019_19921_proc_and_sys_are_links_in_the_image(site: Cluster) -> None:
    said = seen(site, FILE_SYSTEMS + 'echo "== status"; cat /proc/self/status', hostile_image("row12"))
    assert (said["/proc"], said["/sys"]) == (PROC, SYSFS)
    assert f"CapBnd:\t{0:016}\n" in said["status"]


LOOK_FOR_EVIL = """
for place in "" /etc /proc /proc/sys /sys /dev /opt/spank-container /zone; do
    [ ! -e $place/evil ] || echo "it hides $place"
done
echo it ran
"""
VOLUMES = volume("/shared/alice/race:/zone", "/shared/alice/inner:/zone/x")


def make_target(site: Cluster, link: str) -> None:
    """A volume on which x is a folder and y a link, and another that shall be mounted on x."""
    site.run(
        f"rm -rf /shared/alice/race; mkdir -p /shared/alice/race/x /shared/alice/inner;"
        f"touch /shared/alice/inner/evil; ln -s {link} /shared/alice/race/y"
    )


@pytest.mark.parametrize(("link", "place"), [("/etc", "/etc"), ("../../../../../../proc/sys", "/proc/sys")])
def test_row_13_runc_cve_2021_30465_the_target_is_swapped_for_a_link(site: Cluster, link: str, place: str) -> None:
    """A link that stays within the container is followed there, and the container's own places are never hidden."""
    make_target(site, link)
    of_the_link = volume("/shared/alice/race:/zone", "/shared/alice/inner:/zone/y")
    (said,) = forged(site, LOOK_FOR_EVIL, of_the_link)
    assert words(said) == [
        f"--volume: /zone/y leads through a link on another volume to {place}, which belongs to the container itself",
        "hint: choose another target",
    ]
    with flipping(site, "/shared/alice/race/x", "/shared/alice/race/y"):
        outcomes = forged(site, LOOK_FOR_EVIL, *[VOLUMES] * 8)
    assert [said for said in outcomes if not words(said) and said != "it ran\nstatus 0\n"] == []


CAPABLE = r"""
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];

    syscall(SYS_capget, &header, sets);
    printf("%x %x %x\n", sets[0].effective, sets[0].permitted, sets[0].inheritable);
    printf("%s\n", open("/proc/1/environ", O_RDONLY) < 0 ? strerror(errno) : "read");
    return 0;
}
"""
# struct vfs_cap_data of linux/capability.h, revision 2: nothing permitted, all inheritable, and effective at once.
INHERITABLE = (0x02000001).to_bytes(4, "little") + (b"\0" * 4 + b"\xff" * 4) * 2


@pytest.fixture
def capable(site: Cluster, tmp_path: Path) -> Iterator[str]:
    """A program that wins whatever capabilities its caller has as inheritable ones."""
    del site
    (tmp_path / "capable.c").write_text(CAPABLE)
    program = DATA / "shared/capable"
    subprocess.run(["gcc", "-static", "-o", program, tmp_path / "capable.c"], check=True)
    os.setxattr(program, "security.capability", INHERITABLE)
    yield "/shared/capable"
    program.unlink()


def test_row_14_runc_cve_2022_29162_inheritable_capabilities(site: Cluster, capable: str) -> None:
    done = step(site, "/capable", BUSYBOX, f"--volume={capable}:/capable")
    assert done.stdout == "0 0 0\nPermission denied\n"


CGROUPS = """
echo "== mounted"; ls /sys/fs/cgroup/cgroup.procs
echo "== writable"; find /sys/fs/cgroup -writable
echo "== make"; mkdir /sys/fs/cgroup/evil 2>&1
echo "== move"; (echo $$ > /sys/fs/cgroup/cgroup.procs) 2>&1
echo "== of its own"; unshare --user --map-root-user --cgroup --mount sh -c '
    mount -o remount,rw /sys/fs/cgroup && mkdir /sys/fs/cgroup/evil' 2>&1
true
"""
CGROUP_ACTS = ("make", "move", "of its own")


@pytest.fixture
def cgroups(site: Cluster) -> Iterator[Cluster]:
    site.members["n1"].sh("mount -t cgroup2 none /sys/fs/cgroup")
    yield site
    site.members["n1"].sh("umount /sys/fs/cgroup")


def test_row_15_runc_cve_2023_25809_the_cgroups_can_be_written(cgroups: Cluster) -> None:
    said = seen(cgroups, CGROUPS, DEBIAN)
    assert said["mounted"] == "/sys/fs/cgroup/cgroup.procs\n"
    assert said["writable"] == ""
    assert {act: text for act, text in said.items() if act in CGROUP_ACTS and not DENIED.search(text)} == {}


OUTSIDE = 'cat ../../../../../../../../../../tmp/of-the-node 2>&1; echo "== end"; pwd -P\n'


@pytest.fixture
def secret(site: Cluster) -> Iterator[str]:
    """Something on the node that everybody may read, but not from within a container."""
    site.members["n1"].sh("echo secret > /tmp/of-the-node")
    yield "secret"
    site.members["n1"].sh("rm /tmp/of-the-node")


def test_row_16_runc_cve_2024_21626_leaked_descriptor(site: Cluster, secret: str) -> None:
    """As the working folder: Slurm follows it as slurmstepd, which has descriptors of its own, and once more inside."""
    steps = "; ".join(f"srun --quiet --chdir=/proc/self/fd/{fd} sh -c {shlex.quote(OUTSIDE)}" for fd in range(3, 25))
    done = site.run(["salloc", "--quiet", "--nodelist=n1", BUSYBOX, "bash", "-c", steps])
    assert secret not in done.stdout
    assert done.stdout.count("== end\n/tmp\n") == 22, done.stdout


def test_row_16_runc_cve_2024_21626_workdir_of_the_image(site: Cluster, secret: str) -> None:
    assert secret not in step(site, OUTSIDE, hostile_image("row16")).stdout


@pytest.mark.parametrize("link", ["cwd", "root", "fd/3", "fd/4", "exe", "task/../root", "ns/mnt"])
def test_row_16_runc_cve_2024_21626_volume(site: Cluster, link: str) -> None:
    """At submit these would be the user's own process; on the node they would be root's."""
    done = step(site, "ls /data", BUSYBOX, f"--volume=/proc/self/{link}:/data")
    assert (done.returncode, done.stdout) == (1, "")
    assert "spank-container: --volume: " in done.stderr


NOT_ALICES = (
    "find /shared /etc /root /srv -not -user alice -not -path '/shared/spank-container*' -printf '%p %i %s\\n' | sort"
)
OTHERS = ("/shared/bob:/bobs", "/shared:/all", "/shared/alice/race:/zone")


@pytest.mark.parametrize("link", ["/bobs", "/all"])
def test_row_17_runc_cve_2024_45310_files_appear_on_the_host(site: Cluster, link: str) -> None:
    """What a target lacks on a volume is made as the user and through no link, wherever that is swapped for one."""
    node = site.members["n1"]
    make_target(site, link)
    before = node.sh(NOT_ALICES)
    requests = [
        volume(*OTHERS, f"/shared/alice/inner{source}:/zone/x/{target}")
        for source in ("", "/evil")
        for target in ("made", "deep/er", "made-too")
    ]
    with flipping(site, "/shared/alice/race/x", "/shared/alice/race/y"):
        outcomes = forged(site, "echo it ran", *requests)
    assert [said for said in outcomes if said != "it ran\nstatus 0\n" and not words(said)] == []
    assert node.sh(NOT_ALICES) == before


@pytest.mark.parametrize("image", ["row18", "row18b"])
def test_row_18_runc_cve_2025_31133_dev_is_a_link_in_the_image(site: Cluster, image: str) -> None:
    look = """echo "== null"; stat -c '%F %t:%T' /dev/null; echo "== read"; cat /dev/null"""
    said = seen(site, FILE_SYSTEMS + look, hostile_image(image))
    assert (said["/dev/shm"], said["/dev/pts"]) == (TMPFS, DEVPTS)
    assert (said["null"], said["read"]) == ("character special file 1:3\n", "")

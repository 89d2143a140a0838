"""Rows 34 to 44: hooks for GPUs, podman, Shifter, Sarus, uenv and enroot."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cluster.output import without_slurm
from security import hostile_images
from security.attack import BUSYBOX, ON_ONE_RELEASE, flipping, forged, hostile_image, seen, step, volume, words

from sandbox import jobs
from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

pytestmark = [ON_ONE_RELEASE, pytest.mark.usefixtures("hostile", "clean_afterwards")]

HOST = "find /etc /opt/spank-container/bin /opt/spank-container/lib /srv /root -printf '%p %i %s %m\\n' | sort"


@pytest.mark.parametrize("name", ["row34", "row34b"])
def test_row_34_nvidia_cve_2024_0132_what_we_bring_is_put_where_the_images_links_lead(site: Cluster, name: str) -> None:
    """Nothing of an image is taken for the host's, and what we mount into it lands in it, or the job fails in words."""
    before = site.members["n1"].sh(HOST)
    done = step(
        site, "ls -l /opt /evil; ls /opt/spank-container/ /opt/udiImage/; cat /proc/self/mountinfo", hostile_image(name)
    )
    if done.returncode:
        assert words(done.stderr)
        assert "it runs" not in done.stdout
    else:
        assert re.search(r" /opt/spank-container\S* ", done.stdout)
    assert site.members["n1"].sh(HOST) == before


POC = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void mark(void)
{
    char name[64];

    snprintf(name, sizeof(name), "/shared/marks/%d", (int)geteuid());
    close(open(name, O_CREAT | O_WRONLY, 0666));
}
"""


@pytest.fixture
def marks(site: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A library of the image's that says who has loaded it, on the host or in the container."""
    (tmp_path / "poc.c").write_text(POC)
    folder = DATA / "shared/marks"
    folder.mkdir()
    folder.chmod(0o777)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", DATA / "shared/alice/poc.so", tmp_path / "poc.c"], check=True)
    yield folder
    site.members["n1"].sh("rm -r /shared/marks /shared/alice/poc.so")


def test_row_35_nvidia_cve_2025_23266_the_images_preload_runs_as_root(site: Cluster, marks: Path) -> None:
    """The image's variables are the task's: none of root's programs ever has them, before, beside or after it."""
    step_options = f"{hostile_image('row35')} --volume=/shared:/shared"
    script = f"#!/bin/sh\nsrun dash -c 'echo it runs'\nsrun {step_options} dash -c 'echo it runs'"
    cache = "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4"
    options = ("--nodelist=n1", "--chdir=/shared/alice", hostile_image("row35"), "--volume=/shared:/shared", cache)
    job = site.sbatch(script, *options)
    assert job.output == "it runs\nit runs\n"
    assert {path.name for path in marks.iterdir()} == {"2001"}


def test_row_37_podman_cve_2019_10152_a_link_in_a_volume_leads_to_a_host_file(site: Cluster) -> None:
    """A link is followed as the user, and in the container: there it names what the container has."""
    site.members["n1"].sh("echo host > /srv/hosts-file")
    site.run("""
        cd /shared/alice && rm -rf linked && mkdir linked && cd linked
        ln -s /etc/munge/munge.key link && ln -s /etc/munge folder && ln -s link chain && ln -s /srv/hosts-file plain
    """)
    sources = [f"/shared/alice/linked/{name}" for name in ("link", "folder/munge.key", "chain")]
    outcomes = forged(site, "cat /data", *[volume(f"{source}:/data") for source in sources])
    assert [words(said)[0] for said in outcomes] == [f"--volume: {source}: Permission denied" for source in sources]
    done = step(site, "cat /data/plain /data/link", BUSYBOX, "--volume=/shared/alice/linked:/data")
    assert done.stdout == ""
    for source in sources:
        done = site.run(["srun", BUSYBOX, f"--image-env-file={source}", "env"])
        assert (done.returncode, done.stdout) == (1, "")
        assert "Permission denied" in done.stderr


def test_row_38_containers_storage_cve_2024_9676_the_images_passwd_hangs_who_reads_it(
    site: Cluster, hostile: dict[str, str]
) -> None:
    assert hostile["row38"].endswith("status 0\n")
    said = seen(
        site,
        'echo "== passwd"; cat /etc/passwd; echo "== group"; cat /etc/group; echo "== id"; id -un',
        hostile_image("row38"),
    )
    assert said["passwd"] == "alice:x:2001:2001::/home/alice:/bin/bash\n"  # noqa: S105  # a file, no password
    assert "alice:x:2001:alice\n" in said["group"]
    assert said["id"] == "alice\n"


LINKS = {
    "/direct": "--volume: /direct leads in this image to /etc, which belongs to the container itself",
    "/direct/deeper": "--volume: /direct/deeper leads in this image to /etc/deeper, which belongs to the container itself",
    "/above/sys": "--volume: /above/sys leads in this image to /proc/sys, which belongs to the container itself",
    "/chain": "--volume: /chain leads in this image to /dev, which belongs to the container itself",
    "/link": "--volume: /link leads in this image to /, which belongs to the container itself",
    "/magic": "--volume: /magic leads in this image to /proc/1/root/tmp, which belongs to the container itself",
    "/loop": "/loop leads through too many symbolic links of the image",
}


@pytest.mark.parametrize("target", LINKS)
def test_row_39_podman_cve_2024_9675_mounts_through_the_images_links(site: Cluster, target: str) -> None:
    site.run("mkdir -p /shared/alice/inner")
    done = step(site, "echo it runs", hostile_image("row39"), f"--volume=/shared/alice/inner:{target}")
    assert (done.stdout, words(done.stderr)) == ("", [LINKS[target], "hint: choose another target"])


def test_row_39_podman_cve_2024_9675_a_link_that_stays_in_the_image(site: Cluster) -> None:
    site.run("mkdir -p /shared/alice/inner && touch /shared/alice/inner/here")
    volume = "--volume=/shared/alice/inner:/fine/deep"
    assert step(site, "ls /var/deep", hostile_image("row39"), volume).stdout == "here\n"


def test_row_40_shifter_16_08_3_paths_are_looked_up_as_root(site: Cluster) -> None:
    """What only root can see is neither mounted nor told: what is there and what is not look the same."""
    site.run(
        "mkdir -p /shared/bob/closed/deep && touch /shared/bob/closed/deep/file && chmod 700 /shared/bob/closed",
        user="bob",
    )
    bobs = ("/shared/bob/closed", "/shared/bob/closed/deep/file", "/shared/bob/closed/absent")
    sources = ("/root", "/root/.bashrc", "/root/absent", *bobs)
    outcomes = forged(site, "echo it runs", *[volume(f"{source}:/data") for source in sources])
    for source, said in zip(sources, outcomes, strict=True):
        assert "it runs" not in said
        assert words(said) == [
            f"--volume: {source}: Permission denied",
            "hint: check the path, and that you may read it",
        ]


@pytest.mark.parametrize(
    "options",
    [
        [f"--volume=/shared/alice:/{'x' * 100_000}"],
        [f"--volume=/shared/alice:/x{':ro' * 30_000}"],
        [f"--volume={';' * 100_000}"],
        [f"--volume=/shared/alice:/mnt:perNodeCache=size={'9' * 100_000}"],
        [f"--volume=/shared/alice:/v{number}" for number in range(600)],
        [f"--volume=/shared/{'y' * 3000}:/v{number}" for number in range(100)],
        [f"--image={'a' * 100_000}"],
    ],
    ids=["target", "flags", "elements", "size", "many", "much", "image"],
)
def test_row_40_shifter_16_08_3_the_flags_overrun_a_buffer(site: Cluster, options: list[str]) -> None:
    done = site.run("xargs -0 srun --image=docker:busybox", input="\0".join([*options, "true"]))
    assert done.returncode in {1, 123, 124}, done.stderr
    assert done.stderr.count("spank-container: ") == 1
    assert without_slurm(done.stderr).startswith("spank-container: ") or "error: spank-container: " in done.stderr
    assert "Segmentation" not in done.stderr


DEVICES = """
echo "== image"; ls -l /dev/evil /evil 2>&1
echo "== volume"; for device in zero disk; do head -c 1 /data/$device && echo $device works; done 2>&1
echo "== cache"; ls -A /cache | grep -v lost+found; touch /cache/mine && stat -c %u /cache/mine
true
"""


@pytest.fixture
def devices(site: Cluster) -> Iterator[str]:
    site.members["n1"].sh(
        "mkdir /shared/devices && cd /shared/devices && mknod -m 666 zero c 1 5 && mknod -m 666 disk b 7 0"
    )
    yield "/shared/devices"
    site.members["n1"].sh("rm -r /shared/devices")


def test_row_41_sarus_custom_devices_and_writes_without_credentials(site: Cluster, devices: str) -> None:
    """Device files of an image are not there, those of a volume do not work, and what is written is the user's."""
    cache = "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4"
    seen_inside = seen(site, DEVICES, hostile_image("row41"), f"--volume={devices}:/data", cache)
    assert seen_inside["image"].count("No such file or directory") == 2
    assert seen_inside["volume"].count("Permission denied") == 2
    assert "works" not in seen_inside["volume"]
    assert seen_inside["cache"] == "2001\n"
    sources = (f"{devices}/zero", f"{devices}/disk", "/dev/null", "/dev/loop-control")
    for said in forged(
        site, "echo it runs", *[volume(f"{one}:/data{flag}") for one in sources for flag in ("", ":ro")]
    ):
        assert "it runs" not in said
        assert re.search("is neither a folder nor a file|Permission denied", words(said)[0])


SETUID = """
echo "== image"; /bin/rights
echo "== volume"; /bobs/rights
echo "== by way of the host"; /host/shared/bob/rights
echo "== cache"; cp /bobs/rights /cache && chmod 6755 /cache/rights && /cache/rights
echo "== of its own"; /host/usr/bin/unshare --user --map-root-user /host/shared/bob/rights 2> /dev/null || echo none
"""


def test_row_42_sylabs_2018_set_uid_programs(site: Cluster) -> None:
    """Of the image, of a volume, of the host by way of it, and of a cache: alice stays alice in all of them."""
    shutil.copy(hostile_images.rights(), DATA / "shared/rights")
    site.run("cp /shared/rights . && cp /shared/rights /shared/bob && chmod 6755 /shared/bob/rights", user="bob")
    assert site.run(["/shared/bob/rights"]).stdout == "2001 2002 2001 2002\n"
    cache = "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4"
    said = seen(site, SETUID, hostile_image("row42"), "--volume=/shared/bob:/bobs", "--volume=/:/host", cache)
    assert said.pop("of its own") in {"none\n", "0 0 0 0\n"}  # as root of a namespace of hers she is nobody else's
    assert set(said.values()) == {"2001 2001 2001 2001\n"}


OPEN = "rm -f /shared/alice/fifo; mkfifo /shared/alice/fifo; (echo opened > /shared/alice/fifo; echo > /shared/alice/came) > /dev/null 2>&1 & echo $! > writer"


def test_row_43_uenv_a_user_named_file_is_opened_as_root(site: Cluster) -> None:
    """Nobody opens a FIFO of alice's, as a volume, an image or a file of variables, and nothing goes on after a refusal."""
    site.run("rm -f /shared/alice/came")
    site.run(OPEN, node="n1")
    fifo = "/shared/alice/fifo"
    volumes = (f"{fifo}:/data", f"{fifo}:/data:ro", f"{fifo}/x:/data:perNodeCache=size=16M,fs=ext4")
    images = (f"squashfs:{fifo}", fifo, f"local:{fifo}")
    of_images: list[dict[str, object]] = [{"image": image} for image in images]
    requests = [*map(volume, volumes), *of_images]
    for said in forged(site, "echo it runs", *requests):
        assert "it runs" not in said
        assert words(said)
    site.run("kill $(cat writer)", node="n1")
    assert not (DATA / "shared/alice/came").exists()


SWAPS = ("/shared/bob/closed", "/proc/1/root", "/etc/munge/munge.key")


@pytest.mark.parametrize("link", SWAPS)
def test_row_43_uenv_a_source_is_swapped_after_the_check(site: Cluster, link: str) -> None:
    """While the container is built: it is the user's own folder or it is refused, however often one tries."""
    site.run("mkdir -p /shared/bob/closed && chmod 700 /shared/bob/closed", user="bob")
    site.run(
        f"rm -rf /shared/alice/s; mkdir -p /shared/alice/s/x; touch /shared/alice/s/x/mine; ln -s {link} /shared/alice/s/y"
    )
    with flipping(site, "/shared/alice/s/x", "/shared/alice/s/y"):
        outcomes = forged(site, "ls /data", *[volume("/shared/alice/s/x:/data")] * 6)
    refusals = [
        said
        for said in outcomes
        if re.search(
            r"--volume: /shared/alice/s/x: (Permission denied|Too many levels of symbolic links|No such file or directory)$",
            said,
            re.MULTILINE,
        )
    ]
    assert len(refusals) + outcomes.count("mine\nstatus 0\n") == len(outcomes), outcomes


def test_row_44_enroot_4576b55_a_mount_leaks_to_the_host(site: Cluster) -> None:
    """The node's mounts are shared, as systemd makes them; from its container a job adds nothing to them."""
    node = site.members["n1"]
    script = "srun sh -c 'while [ ! -e /home/alice/looked ]; do sleep 0.1; done'"
    site.run("rm -f looked")
    mounted = "cut -d' ' -f5- /proc/1/mountinfo | sort"
    before = set(node.sh(mounted).splitlines())
    volumes = (
        "--volume=/shared/bob:/tmp/deep",
        "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4",
        "--volume=/:/host",
    )
    number = jobs.start(site.members["login"], f"#!/bin/sh\n{script}", "--nodelist=n1", BUSYBOX, *volumes)
    try:
        site.run(
            f"until squeue --noheader --steps --format=%i --jobs {number} | grep -F {number}.0; do sleep 0.05; done"
        )
        during = set(node.sh(mounted).splitlines())
    finally:
        site.run("touch looked")
        jobs.wait(site.members["login"], number)
    places = {line.split()[0] for line in during - before}
    assert {place for place in places if not place.startswith("/run/spank-container")} == set()
    assert all("shared:" not in line for line in during - before)

"""Rows 20 to 33: Singularity's and Apptainer's, and what went wrong with images on their way from the registry."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cluster.output import sections
from real_cluster import PROGRAM
from security import hostile_registry
from security.attack import BUSYBOX, DEBIAN, ON_ONE_RELEASE, forged, seen, step, volume, words
from security.hostile_images import REFUSED_LAYERS

from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

pytestmark = [ON_ONE_RELEASE, pytest.mark.usefixtures("hostile", "clean_afterwards")]
STORE = DATA / "shared/spank-container"
REBUILD = "hint: the image has to be built again"


def test_row_20_singularity_cve_2019_11328_the_state_is_steered_by_a_user(site: Cluster) -> None:
    """Nothing can be put where root's side looks, and it looks nowhere else, whatever alice's plugstack.conf says."""
    write = """
    for path in /run/spank-container /run/spank-container/jobs /run/spank-container/jobs/4000000000 /run/spank-container.new \\
        /etc/spank-container/config.toml /etc/slurm/plugstack.conf.d/evil.conf /opt/spank-container/evil \\
        /shared/spank-container/images/evil /shared/spank-container/tags/evil; do
        (mkdir -p $path/x || : >> $path) 2> /dev/null && echo "wrote $path"
    done
    ls /run/spank-container
    """
    step(site, "true", BUSYBOX)  # so that there is a state directory
    done = site.run(write, node="n1")
    assert (done.stdout, done.stderr) == ("", "ls: cannot open directory '/run/spank-container': Permission denied\n")
    steer = """
    mkdir -p state steered && cp /etc/slurm/*.conf steered
    cp -r /proc/self/ns state/jobs 2> /dev/null
    echo "required $(echo /opt/spank-container/lib/slurm-*/spank_container.so) state=$HOME/state" > steered/plugstack.conf
    SLURM_CONF=$HOME/steered/slurm.conf srun --quiet --nodelist=n1 --image=docker:busybox cat /etc/os-release
    """
    done = site.run(steer)
    assert done.stdout == 'PRETTY_NAME="BusyBox of the sandbox"\n', done.stderr


def test_row_21_singularity_cve_2019_19724_caches_that_others_can_read(site: Cluster) -> None:
    """Layers, which may be a private image's; a job's cache, its /tmp and its root, from the node."""
    hold = "srun sh -c 'echo hers > /cache/file; echo hers > /tmp/file; while [ ! -e /home/alice/bob-has-looked ]; do sleep 0.1; done'"
    cache = "--volume=/shared/alice:/cache:perNodeCache=size=16M,fs=ext4"
    options = ("--nodelist=n1", "--partition=shared", BUSYBOX, cache)
    site.run("rm -f bob-has-looked")
    number = int(site.run(["sbatch", "--parsable", *options, "--wrap", hold]).stdout)
    look = """
    ls /run/spank-container /shared/spank-container/blobs; cat /shared/spank-container/blobs/*/*
    for pid in /proc/[0-9]*; do cat $pid/root/cache/file $pid/root/tmp/file $pid/cwd/file $pid/environ; done
    for device in /dev/loop*; do head -c 1 $device; done
    """
    try:
        site.run(
            f"until squeue --noheader --steps --format=%i --jobs {number} | grep -F {number}.0; do sleep 0.05; done"
        )
        printed = site.run(look, user="bob", node="n1")
    finally:
        site.run(f"touch bob-has-looked; while squeue --noheader --jobs {number} | grep -q .; do sleep 0.05; done")
    assert "hers" not in printed.stdout
    assert "SPANK_CONTAINER" not in printed.stdout
    denied = set(
        re.findall(r"'?(/run/spank-container|/shared/spank-container/blobs)'?: Permission denied", printed.stderr)
    )
    assert denied == {"/run/spank-container", "/shared/spank-container/blobs"}


@pytest.mark.parametrize("name", [name for name in REFUSED_LAYERS if name.startswith("row22")])
def test_row_22_singularity_cve_2020_15229_a_path_leads_out_of_the_tree(
    site: Cluster, hostile: dict[str, str], name: str
) -> None:
    refused(site, hostile, name)


@pytest.mark.parametrize("name", [name for name in REFUSED_LAYERS if name.startswith("row25")])
def test_row_25_singularity_cve_2021_29136_a_link_in_the_place_of_the_root(
    site: Cluster, hostile: dict[str, str], name: str
) -> None:
    refused(site, hostile, name)


def refused(site: Cluster, hostile: dict[str, str], name: str) -> None:
    """The pull says so, the image is not in the store, and nothing was written anywhere else."""
    reference = f"{hostile_registry.NAME}/{name}:1.0"
    said = hostile[name].splitlines()
    assert re.sub(r"layer sha256:[0-9a-f]{64}", "layer L", said[0]) == (
        f"spank-container: cannot pull docker:{reference}: layer L: {REFUSED_LAYERS[name][1]}"
    )
    assert said[1:] == [REBUILD, "status 64"]
    done = site.run(["srun", f"--image=docker:{reference}", "true"])
    assert f"spank-container: the image docker:{reference} is not in the store" in done.stderr
    assert (
        site.members["login"].sh("find / -xdev -name '*evil*' -newer /run/hostile/answers.json -not -path '/proc/*'")
        == ""
    )
    assert [path for path in (DATA / "shared").rglob("*evil*") if STORE in path.parents] == []


WATCH = r"""
import os, time
end = time.monotonic() + 60
while time.monotonic() < end and not os.path.exists("stop"):
    for place in ("/tmp", "/var/tmp", "/run", "/root", "/opt/spank-container", "/shared/spank-container"):
        for folder, folders, files in os.walk(place):
            for path in [os.path.join(folder, name) for name in [*folders, *files]]:
                if not os.path.islink(path) and not path.startswith(("/run/lock", "/run/munge")):
                    if os.access(path, os.W_OK):
                        print("writable", path, flush=True)
                    if "/blobs/" in path:
                        print("readable", path, flush=True)
print("watched", flush=True)
"""


def test_row_23_singularity_cve_2020_25039_content_is_injected_while_an_image_is_made(site: Cluster) -> None:
    site.run("rm -f stop; cat > watch.py", input=WATCH)
    site.run("python3 watch.py > watched 2>&1 & sleep 0.3")
    image = f"docker:{hostile_registry.NAME}/row23:1.0"
    done = site.run([PROGRAM, "pull", image], user="root")
    said = site.run("touch stop; while ! grep -q watched watched; do sleep 0.05; done; cat watched").stdout
    assert done.returncode == 0, done.stderr
    assert said == "watched\n"


@pytest.fixture
def signed_only(site: Cluster) -> Iterator[None]:
    """The site's policy: what is not signed is not taken."""
    login = site.members["login"]
    login.sh(
        'cp /etc/containers/policy.json /run/policy.json; echo \'{"default": [{"type": "reject"}]}\' > /etc/containers/policy.json'
    )
    yield
    login.sh("cp /run/policy.json /etc/containers/policy.json")


@pytest.mark.usefixtures("signed_only")
def test_row_24_singularity_cve_2020_13845_signatures_are_not_checked(site: Cluster) -> None:
    """Also of an image whose layers all are here already."""
    before = sorted(path.name for path in (STORE / "images").iterdir())
    for image in ("row24:1.0", "row24b:1.0"):
        done = site.run([PROGRAM, "pull", f"docker:{hostile_registry.NAME}/{image}"], user="root")
        assert done.returncode != 0
        assert "is rejected by policy" in done.stderr
    assert sorted(path.name for path in (STORE / "images").iterdir()) == before


def test_row_26_singularity_cve_2022_23538_credentials_go_elsewhere(site: Cluster) -> None:
    """A registry that wants a login redirects to another host for the layers: the login does not go there."""
    login = site.members["login"]
    auth = {"auths": {hostile_registry.PRIVATE: {"auth": hostile_registry.CREDENTIALS}}}
    login.sh("umask 077; cat > /run/hostile/auth.json", stdin=json.dumps(auth))
    pull = f"REGISTRY_AUTH_FILE=/run/hostile/auth.json {PROGRAM} pull docker:{hostile_registry.PRIVATE}/private26:1.0"
    done = site.run(pull, user="root")
    assert done.returncode == 0, done.stderr
    asked = hostile_registry.asked(login)
    assert (hostile_registry.PRIVATE, f"Basic {hostile_registry.CREDENTIALS}") in {
        (host, word) for host, _, word in asked
    }
    assert {word for host, _, word in asked if host == hostile_registry.ELSEWHERE} == {"-"}


NO_DIGEST = "its manifest is broken: layers.0.digest: Value error, this is no digest"


def refused_document(hostile: dict[str, str], name: str, why: str) -> None:
    said = hostile[name].splitlines()
    assert said[0] == f"spank-container: cannot pull docker:{hostile_registry.NAME}/{name}:1.0: {why}"
    assert said[-1] == "status 64"


def test_row_27_cve_2021_41190_an_index_that_is_a_manifest_too(hostile: dict[str, str]) -> None:
    refused_document(hostile, "row27", "its manifest says that it is an index too")


def refused_digest(site: Cluster, digest: str) -> None:
    """As it is typed, and as it is forged."""
    done = site.run(["srun", f"--image=id:{digest}", "true"])
    assert "spank-container: --image: " in done.stderr
    (said,) = forged(site, "echo it runs", {"digest": digest})
    assert "it runs" not in said
    assert words(said)[0] == "this is no digest"


@pytest.mark.parametrize("digest", [f"md5:{'0' * 32}", f"sha1:{'0' * 40}", "sha256:00"])
def test_row_28_cve_2022_39237_a_weak_hash(site: Cluster, hostile: dict[str, str], digest: str) -> None:
    refused_document(hostile, "row28", NO_DIGEST)
    refused_digest(site, digest)


@pytest.mark.parametrize("digest", ["sha256:../../../../../../shared/alice/evil", f"sha256:{'a' * 60}/../"])
def test_row_29_cve_2024_3727_a_digest_that_is_a_path(site: Cluster, hostile: dict[str, str], digest: str) -> None:
    refused_document(hostile, "row29", NO_DIGEST)
    refused_digest(site, digest)


PLANT = """
mkdir -p /shared/alice/planted && cd /shared/alice/planted
head -c 16M /dev/zero > evil && /sbin/mkfs.ext4 -q -F -d /etc/skel evil && cp evil evil.squashfs
first=$(srun --quiet sh -c 'echo $SLURM_JOB_ID')
for job in $(seq $((first + 1)) $((first + 8))); do
    for name in $job-n1-cache0 $job.0-n1-cache0 $job.1-n1-cache0; do ln evil spank-container-$name.ext4; done
done
ls | wc -l
"""
LOOK_AT_CACHE = """
echo "== content"; ls -A /cache | grep -v lost+found
echo "== evil"; head -c 4 /evil | wc -c; stat -f -c %t /evil; grep -c /evil /proc/self/mountinfo
echo "== device"; for device in /dev/loop*; do (: < $device) 2> /dev/null && echo $device; done
echo "== names"; ls /planted | wc -l
echo "== file"; ls -l /proc/*/fd 2> /dev/null | grep -c planted
true
"""


def test_row_30_apptainer_cve_2023_30549_a_users_file_system_reaches_the_kernel(site: Cluster) -> None:
    """By name, before our file is made; as a volume; as an image; and ours, while it is mounted."""
    planted = site.run(PLANT).stdout
    assert int(planted) > 20
    place = "/shared/alice/planted"
    volumes = (
        f"--volume={place}:/cache:perNodeCache=size=16M,fs=ext4",
        f"--volume={place}/evil:/evil",
        f"--volume={place}:/planted",
    )
    for options in ((), ("--overlap",)):
        said = seen(site, LOOK_AT_CACHE, DEBIAN, *volumes, *options)
        assert said["content"] == ""
        assert said["evil"].splitlines()[0] == "4"
        assert said["device"] == ""
        assert said["names"] == planted
        assert said["file"] == "0\n"
    for image in (f"{place}/evil.squashfs", f"squashfs:{place}/evil.squashfs", f"docker:{place}/evil.squashfs"):
        done = site.run(["srun", f"--image={image}", "true"])
        assert (done.returncode, done.stdout) == (1, "")
        assert "spank-container: --image: " in done.stderr


def test_row_31_apptainer_ghsa_mmx5_32m4_wxvx_any_folder_is_deleted(site: Cluster) -> None:
    """The Epilog takes away what the record says, and nothing of a user's, whatever stands at its place by then."""
    swap = """
    srun sh -c true
    cd /shared/alice && mv fresh gone && ln -s /shared/alice/precious fresh
    rm -rf gone && mkdir -p precious && touch precious/file
    for name in cache0 root upper; do touch precious/spank-container-$SLURM_JOB_ID-n1-$name.ext4; done
    """
    site.run("rm -rf /shared/alice/fresh /shared/alice/precious; mkdir -p /shared/alice/fresh")
    cache = "--volume=/shared/alice/fresh:/cache:perNodeCache=size=16M,fs=ext4"
    job = site.sbatch(f"#!/bin/sh\n{swap}", "--nodelist=n1", BUSYBOX, cache)
    assert job.state == "COMPLETED", job.output
    names = {"file", *(f"spank-container-{job.id}-n1-{name}.ext4" for name in ("cache0", "root", "upper"))}
    assert {path.name for path in (DATA / "shared/alice/precious").iterdir()} == names


@pytest.fixture
def nested(site: Cluster) -> Iterator[str]:
    """A folder of alice's with another file system in it, on which devices and setuid programs work, as seen by n1."""
    site.members["n1"].sh(
        "mkdir -p /srv/nested && mount -t tmpfs none /srv/nested && mkdir /srv/nested/deep &&"
        "mount -t tmpfs none /srv/nested/deep && mknod -m 666 /srv/nested/deep/null c 1 3 &&"
        "cp /usr/bin/id /srv/nested/deep/id && chmod 6755 /srv/nested/deep/id && chmod 777 /srv/nested /srv/nested/deep"
    )
    site.members["login"].sh("mkdir -p /srv/nested")
    yield "/srv/nested"
    site.members["n1"].sh("umount -R /srv/nested; rmdir /srv/nested")
    site.members["login"].sh("rmdir /srv/nested")


def test_row_32_apptainer_cve_2025_65105_an_option_is_silently_not_applied(site: Cluster, nested: str) -> None:
    """`ro`, and what every volume gets, hold for the mounts below the volume as well."""
    look = """
    echo "== write"; touch /data/new /data/deep/new 2>&1
    echo "== device"; cat /data/deep/null 2>&1
    echo "== setuid"; /data/deep/id
    true
    """
    said = seen(site, look, DEBIAN, f"--volume={nested}:/data:ro")
    assert said["write"].count("Read-only file system") == 2
    assert "Permission denied" in said["device"]
    assert "euid" not in said["setuid"]
    done = site.run(["srun", DEBIAN, f"--volume={nested}:/data:ro,security=apparmor:x", "true"])
    assert (done.returncode, done.stdout) == (1, "")


@pytest.fixture
def limited(site: Cluster) -> Iterator[Cluster]:
    """A site that allows volumes from two folders only, but not from one in them."""
    settings = """
    sed -i.before '$a [volumes]\\nallow = ["/shared/alice", "/shared/bob"]\\ndeny = ["/shared/alice/no"]' \\
        /etc/spank-container/config.toml
    """
    for name in ("login", "n1"):
        site.members[name].sh(settings)
    site.run("cd /shared/alice && mkdir -p no/deep not && ln -sfn no link && ln -sfn /shared/alice2 out")
    site.members["login"].sh("install -d -o alice /shared/alice2")
    yield site
    for name in ("login", "n1"):
        site.members[name].sh("mv /etc/spank-container/config.toml.before /etc/spank-container/config.toml")
    site.members["login"].sh("rm -r /shared/alice2")


ALLOWED = ("/shared/alice/not", "/shared/bob")
DENIED = (
    "/shared",
    "/shared/alice",  # it has /shared/alice/no in it
    "/shared/alice2",
    "/shared/alice/no",
    "/shared/alice/no/deep",
    "/shared/alice/link",
    "/shared/alice/link/deep",
    "/shared/alice/out",
    "/tmp",
    "/",
)


def test_row_33_apptainer_cve_2026_48785_a_path_is_taken_for_a_prefix(limited: Cluster) -> None:
    """By component, and where a link leads to counts, not where it stands; at submit and on the node."""
    volumes = {source: volume(f"{source}:/data:ro") for source in (*ALLOWED, *DENIED)}
    outcomes = dict(zip(volumes, forged(limited, "echo it runs", *volumes.values()), strict=True))
    for source in ALLOWED:
        assert outcomes[source] == "it runs\nstatus 0\n"
    typed = limited.run(
        "for source in $(cat); do echo == $source; srun --image=docker:busybox --volume=$source:/data:ro echo it runs 2>&1; done",
        input=" ".join(DENIED),
    )
    for source, said in sections(typed.stdout).items():
        assert "it runs" not in said + outcomes[source]
        assert f"spank-container: --volume: {source}" in said
        assert words(outcomes[source])[0].startswith(f"--volume: {source}")
    assert sections(typed.stdout).keys() == set(DENIED)

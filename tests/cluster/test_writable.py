"""--image-writable on real Slurm: alice changes what is root's in the image, for her job alone, and it is gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.configuration import configured
from cluster.output import sections, without_slurm

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

IMAGE = "--image=docker:debian:trixie"
CACHE = "--volume=/shared/alice/cache:/mnt:perNodeCache=size=300M"
SCRIPT = r"""#!/bin/bash
look() { echo "== $1"; shift; srun --nodes=1 --ntasks=1 --nodelist=n1 "$@" 2>&1; }
write='echo Changed >> /etc/debian_version; rm -r /usr/share/doc; mkdir -p /opt/app/output; echo out > /opt/app/output/x'
read='tail -n 1 /etc/debian_version; ls -d /usr/share/doc; cat /opt/app/output/x; stat -c "%U %a" / /usr/bin /opt/app'
look write sh -c "$write"
look "a later step" sh -c "$read"
echo "== two tasks"
srun --nodes=1 --ntasks=2 --nodelist=n1 sh -c \
    'if [ $SLURM_PROCID = 0 ]; then echo here > /usr/bin/mine; else until cat /usr/bin/mine; do sleep 0.1; done; fi' 2> /dev/null
look "a program" sh -c 'printf "#!/bin/sh\necho it runs\n" > /usr/bin/new; chmod +x /usr/bin/new; new'
look setuid sh -c 'cp /bin/sh /root-shell; chmod 6755 /root-shell; /root-shell -c "id -u"'
look "another node" --nodelist=n2 tail -n 1 /etc/debian_version
look full sh -c 'df -k --output=size / | tail -n 1; dd if=/dev/zero of=/big bs=1M count=400 2>&1 | grep -o "No space.*"; rm /big'
look mnt sh -c 'ls -A /mnt; touch /mnt/mine; ls -A /mnt'
"""
SEEN = {
    "write": "",
    "a later step": (
        "Changed\nls: cannot access '/usr/share/doc': No such file or directory\nout\nalice 755\nalice 755\nalice 755\n"
    ),
    "two tasks": "here\n",
    "a program": "it runs\n",
    "setuid": "2001\n",
}


@pytest.fixture(scope="module", params=["=64M", "=/mnt"], ids=["memory", "cache"])
def seen(site: Cluster, request: pytest.FixtureRequest) -> dict[str, str]:
    options = [IMAGE, f"--image-writable{request.param}", "--nodes=2", CACHE]
    job = site.sbatch(SCRIPT, *options)
    assert job.exit_code == 0, job.output
    return sections(job.output) | {"where": request.param}


@pytest.mark.parametrize("what", SEEN)
def test_the_root_of_a_job(seen: dict[str, str], what: str) -> None:
    assert seen[what] == SEEN[what]


def test_each_node_has_its_own(seen: dict[str, str]) -> None:
    assert "Changed" not in seen["another node"]
    assert seen["another node"].startswith("13.")


def test_how_much_can_be_written(seen: dict[str, str]) -> None:
    size, *said = seen["full"].split(maxsplit=1)
    assert said == ["No space left on device\n"]
    if seen["where"] == "=64M":
        assert int(size) == 64 << 10
    else:
        assert 200 << 10 < int(size) < 300 << 10


def test_the_layer_is_not_seen_in_the_cache(seen: dict[str, str]) -> None:
    assert seen["mnt"] == "mine\n"


def test_what_a_job_wrote_is_the_jobs_own(site: Cluster) -> None:
    look = "tail -n 1 /etc/debian_version; echo Changed >> /etc/debian_version"
    for user in ("alice", "alice", "bob"):
        done = site.run(["srun", "--nodelist=n1", IMAGE, "--image-writable", "sh", "-c", look], user=user)
        assert (done.stdout[:3], done.returncode) == ("13.", 0)


def test_without_it_the_root_is_read_only(site: Cluster) -> None:
    done = site.run(["srun", "--nodelist=n1", IMAGE, "touch", "/opt/x"])
    assert "touch: cannot touch '/opt/x': Read-only file system\n" in without_slurm(done.stderr)


def test_a_step_of_its_own_has_a_root_of_its_own(site: Cluster) -> None:
    """--image-writable at a step is a container for that step; what it writes, the job's other steps do not see."""
    script = """#!/bin/bash
echo "== own"; srun --ntasks=1 --image-writable sh -c 'echo x > /new; cat /new' 2>&1
echo "== job"; srun --ntasks=1 sh -c 'ls /new; touch /other' 2>&1
"""
    seen = sections(site.sbatch(script, IMAGE, "--nodelist=n1").output)
    assert seen["own"] == "x\n"
    assert "ls: cannot access '/new': No such file or directory\n" in seen["job"]
    assert "touch: cannot touch '/other': Read-only file system\n" in seen["job"]


def test_the_site_may_make_every_root_writable(site: Cluster) -> None:
    setting = '[container]\nwritable = true\nwritable_size = "32M"\n'
    with configured([site.members["n1"]], lambda text: text + setting):
        look = "echo x > /opt/x; cat /opt/x; df -k --output=size / | tail -n 1"
        done = site.run(["srun", "--nodelist=n1", IMAGE, "sh", "-c", look])
    assert done.stdout.split() == ["x", "32768"]


def test_written_roots_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

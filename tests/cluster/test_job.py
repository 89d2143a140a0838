"""A job in its image: what every rank sees, where it runs, what its status is, and that nothing is left of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

SCRIPT = """#!/bin/bash
#SBATCH -N 2 -t 20
#SBATCH --image=docker:debian:trixie
#SBATCH --volume=/shared/alice/backingFile:/mnt:perNodeCache=size=1G
module load shifter
export TMPDIR=/mnt
srun -n 4 shifter /myapp/app
"""
BUSYBOX = 'PRETTY_NAME="BusyBox of the sandbox"\n'

Facts = dict[str, dict[str, str]]


# The job of Shifter's own talk, as it stands.


@pytest.fixture(scope="module")
def ranks(site: Cluster) -> Facts:
    """By rank, by fact: what /myapp/app says of itself in lines of RANK FACT: VALUE."""
    job = site.sbatch(SCRIPT)
    assert (job.state, job.exit_code) == ("COMPLETED", 0), job.output
    found: Facts = {}
    for rank, fact, value in re.findall(r"^(\d+) (.*?): (.*)$", job.output, re.MULTILINE):
        found.setdefault(rank, {})[fact] = value
    assert sorted(found) == ["0", "1", "2", "3"], job.output
    return found


def seen(ranks: Facts, fact: str) -> list[str]:
    return sorted(facts[fact] for facts in ranks.values())


def test_the_ranks_are_on_both_nodes(ranks: Facts) -> None:
    assert seen(ranks, "host name") == ["n1", "n1", "n2", "n2"]


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("image", "Debian GNU/Linux 13 (trixie)"),
        ("uid", "2001"),
        ("/var/hostsfile", "n1 " * 16 + "n2 " * 16),
        ("/mnt file system", "xfs"),
        ("$TMPDIR", "/mnt"),
    ],
)
def test_every_rank_sees(ranks: Facts, fact: str, value: str) -> None:
    assert seen(ranks, fact) == [value] * 4


def test_the_cache_has_its_size(ranks: Facts) -> None:
    """Of 1 GiB; XFS keeps its journal for itself."""
    assert all(900 <= int(size.removesuffix(" MiB")) <= 1024 for size in seen(ranks, "/mnt size"))


def test_nothing_is_left_of_it(ranks: Facts, site: Cluster) -> None:
    assert ranks
    assert_nothing_left(site)
    assert site.run("ls -A /shared/alice | grep backingFile").stdout == ""


# The cache of a node.


@pytest.fixture(scope="module")
def cached(site: Cluster) -> dict[str, str]:
    script = """#!/bin/bash
    echo "== backing"; ls -A /shared/alice/empty
    srun -n 4 sh -c 'echo "$SLURM_PROCID" > /mnt/rank-$SLURM_PROCID'
    for node in n1 n2; do
        echo "== $node"; srun -n 1 -N 1 -w $node sh -c 'cd /mnt; echo rank-*'
    done
    echo "== owner"; srun -n 1 -N 1 stat -c '%u:%g %a' /mnt
    echo "== host"; ls -A /mnt
    """
    volume = "--volume=/shared/alice/empty:/mnt:perNodeCache=size=16M,fs=ext4"
    site.run(["mkdir", "-p", "/shared/alice/empty"])
    job = site.sbatch(script, "-N2", "--image=docker:busybox", volume)
    assert job.exit_code == 0, job.output
    return sections(job.output)


def test_a_cache_is_shared_by_the_ranks_of_a_node_and_by_no_others(cached: dict[str, str]) -> None:
    by_node = [set(cached[node].split()) - {"lost+found"} for node in ("n1", "n2")]
    assert [len(files) for files in by_node] == [2, 2]
    assert by_node[0] | by_node[1] == {f"rank-{rank}" for rank in range(4)}


def test_a_cache_is_its_users_alone(cached: dict[str, str]) -> None:
    assert cached["owner"] == "2001:2001 700\n"


def test_a_cache_has_no_file_that_anybody_could_open(cached: dict[str, str]) -> None:
    assert (cached["backing"], cached["host"]) == ("", "")


# Steps of a batch job.


@pytest.fixture(scope="module")
def batch(site: Cluster) -> dict[str, str]:
    script = """#!/bin/bash
    module load shifter
    echo "== script"; . /etc/os-release; echo "$ID $PWD"
    echo "== shifter"; shifter cat /etc/os-release
    echo "== shifter's input"; echo words | shifter cat
    echo "== shifter's status"; shifter sh -c 'exit 5' 2> /dev/null; echo $?
    echo "== input"; echo words | srun cat
    echo "== status"; srun sh -c 'exit 7' 2> /dev/null; echo $?
    echo "== signal"; srun sh -c 'kill -TERM $$' 2> /dev/null; echo $?
    echo "== folders"; srun sh -c 'pwd; ls -d /home/alice /shared/alice; touch $HOME/from-inside'
    echo "== chdir"; srun --chdir=/work sh -c pwd 2> /dev/null
    echo "== environment"; MINE=1 srun sh -c 'echo "$MINE, $IMAGE_SAYS, $PATH"'
    echo "== no environment"; MINE=1 srun --export=NONE sh -c 'echo "$MINE, $IMAGE_SAYS, $PATH"'
    exit 9
    """
    job = site.sbatch(script, "--chdir=/shared/alice", "--image=docker:busybox")
    assert (job.state, job.exit_code) == ("FAILED", 9), job.output
    return sections(job.output)


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        ("script", "debian /shared/alice\n"),  # the batch script is on the host
        ("shifter", BUSYBOX),
        ("shifter's input", "words\n"),
        ("shifter's status", "5\n"),
        ("input", "words\n"),
        ("status", "7\n"),
        ("signal", "143\n"),
        ("folders", "/shared/alice\n/home/alice\n/shared/alice\n"),
        ("chdir", "/work\n"),  # a folder that only the image has
        ("environment", "1, hello from the image, /opt/spank-container/bin:/usr/bin:/bin\n"),
        ("no environment", ", hello from the image, /opt/spank-container/bin:/usr/bin:/bin\n"),
    ],
)
def test_a_step_of_a_batch_job(batch: dict[str, str], what: str, printed: str) -> None:
    assert batch[what] == printed


def test_home_is_the_users_own(batch: dict[str, str], site: Cluster) -> None:
    assert batch
    assert site.run(["stat", "-c", "%U", "from-inside"]).stdout == "alice\n"


# Other ways to start a job.


def test_srun_alone(site: Cluster) -> None:
    command = "cd /shared/alice && srun --image=docker:busybox sh -c 'cat; pwd; cat /etc/os-release; exit 3'"
    done = site.run(command, input="words\n")
    assert (done.returncode, done.stdout) == (3, f"words\n/shared/alice\n{BUSYBOX}"), done.stderr


def test_salloc(site: Cluster) -> None:
    command = "cat /etc/os-release | head -n 1; srun cat /etc/os-release; exit 4"
    done = site.run(["salloc", "--quiet", "--image=docker:busybox", "sh", "-c", command])
    host, image = done.stdout.splitlines(keepends=True)
    assert "Debian" in host
    assert (done.returncode, image) == (4, BUSYBOX), done.stderr


def test_a_job_array(site: Cluster) -> None:
    options = ["--array=1-2", "--partition=shared", "--image=docker:busybox", "--output=array-%a.out"]
    step = "srun sh -c 'echo $SLURM_ARRAY_TASK_ID; cat /etc/os-release'"
    assert site.run(["sbatch", *options, "--wrap", step]).returncode == 0
    site.run('while [ -n "$(squeue --noheader)" ]; do sleep 0.05; done')
    assert site.run("cat array-1.out array-2.out").stdout == f"1\n{BUSYBOX}2\n{BUSYBOX}"


def test_a_job_without_the_users_environment(site: Cluster) -> None:
    job = site.sbatch("#!/bin/sh\nsrun cat /etc/os-release", "--export=NONE", "--image=docker:busybox")
    assert (job.exit_code, job.output) == (0, BUSYBOX)


def test_all_of_this_leaves_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

"""What cannot be a volume: refused when it is typed, and when it is forged past that, with the same words.

Nothing is mounted and no node is drained; the races for such sources are rows 13, 17 and 43.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections, without_slurm
from security.attack import ON_ONE_RELEASE, forge, volume, words

from sandbox import jobs

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

pytestmark = ON_ONE_RELEASE
UNREACHABLE = "hint: check the path, and that you may read it"
NO_SOURCE = "hint: name a folder or a file"
SOURCES = {
    "/etc/munge/munge.key": ("Permission denied", UNREACHABLE),
    "/root": ("Permission denied", UNREACHABLE),
    "/shared/bob/closed/open": ("Permission denied", UNREACHABLE),
    "/shared/bob/closed/absent": ("Permission denied", UNREACHABLE),
    "/shared/alice/odd/loop": ("Too many levels of symbolic links", UNREACHABLE),
    "/shared/alice/odd/fifo": ("is neither a folder nor a file", NO_SOURCE),
    "/shared/alice/odd/socket": ("is neither a folder nor a file", NO_SOURCE),
    "/shared/alice/odd/link": ("is neither a folder nor a file", NO_SOURCE),
    "/dev/zero": ("is neither a folder nor a file", NO_SOURCE),
    "/shared/odd-disk": ("is neither a folder nor a file", NO_SOURCE),
}
PREPARE = """
rm -rf /shared/alice/odd && mkdir /shared/alice/odd && cd /shared/alice/odd
mkfifo fifo && ln -s loop loop && ln -s fifo link
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
"""


def refusal(source: str) -> list[str]:
    reason, hint = SOURCES[source]
    return [f"--volume: {source}{' ' if reason.startswith('is ') else ': '}{reason}", hint]


@pytest.fixture(scope="module")
def typed(site: Cluster) -> dict[str, str]:
    """What sbatch says of each."""
    site.run(
        "mkdir -p /shared/bob/closed/open && chmod 755 /shared/bob/closed/open && chmod 700 /shared/bob/closed",
        user="bob",
    )
    site.members["login"].sh("rm -f /shared/odd-disk; mknod -m 666 /shared/odd-disk b 7 0")
    site.run(PREPARE)
    loop = "for source in $(cat); do echo == $source; sbatch --image=docker:busybox --volume=$source:/data:ro --wrap true 2>&1; done"
    return sections(site.run(loop, input=" ".join(SOURCES)).stdout)


@pytest.fixture(scope="module")
def forged_jobs(site: Cluster, typed: dict[str, str]) -> dict[str, jobs.Job]:
    """Batch jobs that asked for them all the same, at once on one node."""
    assert typed
    forge(site, *[volume(f"{source}:/data:ro", "/shared/alice:/mine") for source in SOURCES])
    submit = """
    for request in $HOME/forged/requests/*; do
        REQUEST=$request SLURM_CONF=$HOME/forged/slurm.conf sbatch --parsable --nodelist=n1 --partition=shared --image=x \\
            --output=/shared/alice/odd/%j.out --wrap 'echo it runs; srun echo and this'
    done
    """
    numbers = site.run(submit).stdout.split()
    login = site.members["login"]
    return {source: jobs.wait(login, int(number)) for source, number in zip(SOURCES, numbers, strict=True)}


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_refused_at_submit(typed: dict[str, str], source: str) -> None:
    said = without_slurm(typed[source]).splitlines()
    assert [line.removeprefix("spank-container: ") for line in said] == refusal(source)


@pytest.mark.parametrize("source", SOURCES)
def test_it_fails_the_job_that_was_forged(forged_jobs: dict[str, jobs.Job], source: str) -> None:
    job = forged_jobs[source]
    assert (job.state, job.exit_code) == ("FAILED", 1)
    assert words(job.output) == refusal(source)
    assert "it runs" not in job.output


def test_it_costs_no_node(site: Cluster, forged_jobs: dict[str, jobs.Job]) -> None:
    assert forged_jobs
    assert_nothing_left(site)

"""Whatever dies, and whenever: the job's end, the next job or the sweep leaves nothing, and no live job is harmed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.background import running
from cluster.output import sections

from sandbox import jobs, leftovers
from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.node import Node

PROGRAM = "/opt/spank-container/bin/spank-container"
IMAGE = "--image=docker:busybox"
CACHE = "--volume=/shared/alice/cache:/mnt:perNodeCache=size=16M,fs=ext4"
ON_N1 = ("--partition=shared", "--nodelist=n1", IMAGE, CACHE)
BUSYBOX = 'PRETTY_NAME="BusyBox of the sandbox"\n'


@pytest.fixture(autouse=True)
def clean_afterwards(site: Cluster) -> Iterator[None]:
    yield
    try:
        assert_nothing_left(site)
    finally:
        site.run("squeue --noheader --format=%A | xargs --no-run-if-empty scancel", user="root")
        put_back_into_service(site)


def put_back_into_service(site: Cluster) -> None:
    site.run(["scontrol", "update", "NodeName=n1", "State=RESUME"], user="root")


# slurmd.


def kill_slurmd(node: Node) -> None:
    node.sh("pkill --signal KILL --exact slurmd; while pgrep --exact slurmd > /dev/null; do sleep 0.01; done")


def test_a_job_outlives_a_killed_slurmd(site: Cluster) -> None:
    """A slurmd that was restarted runs the Prolog of its jobs again, beside their tasks."""
    script = "srun sh -c 'echo kept > /tmp/file; echo kept > /mnt/file'; pause killed; srun cat /tmp/file /mnt/file"
    with running(site, script, *ON_N1) as job:
        job.reach("killed")
        kill_slurmd(site.members["n1"])
        site.members["n1"].sh("slurmd")
        job.go("killed")
        assert job.wait().output.endswith("kept\nkept\n")


def test_a_job_that_ends_without_slurmd(site: Cluster) -> None:
    """Its Epilog runs when slurmd is back."""
    with running(site, "srun sh -c true; pause killed", *ON_N1) as job:
        job.reach("killed")
        kill_slurmd(site.members["n1"])
        job.go("killed")
        site.run(f"until squeue --noheader --jobs {job.id} --format=%T | grep -v RUNNING; do sleep 0.05; done")
        assert leftovers.of_node(site.members["n1"])
        site.members["n1"].sh("slurmd")


# slurmstepd.

ORPHANS = """
srun --overlap sh -c 'cd /mnt; sleep 1001' &
srun --overlap --image=docker:busybox --volume=/shared/alice/cache:/mnt:perNodeCache=size=16M,fs=ext4 \
    sh -c 'cd /mnt; sleep 1002' &
pause killed
"""


def test_tasks_whose_slurmstepd_was_killed(site: Cluster) -> None:
    """Slurm does not know of them any more, so it does not end them: the Epilog does, also in a step's own container.

    With proctrack/cgroup it is the same: the cgroup stays behind, with the tasks in it.
    """
    node = site.members["n1"]
    with running(site, ORPHANS, *ON_N1) as job:
        job.reach("killed")
        for sleep in ("sleep 1001", "sleep 1002"):
            wait_for_process(site, sleep)
        node.sh(f"pkill --signal KILL --full '^slurmstepd: .{job.id}[.][01]]'")
        assert {"sleep 1001", "sleep 1002"} <= names_of(leftovers.of_node(node).processes)


def wait_for_process(site: Cluster, name: str) -> None:
    deadline = time.monotonic() + 30
    while name not in names_of(leftovers.of_node(site.members["n1"]).processes):
        assert time.monotonic() < deadline, name


def names_of(processes: tuple[str, ...]) -> set[str]:
    return {process.removeprefix("/bin/") for process in processes}


# The Prolog, killed in the middle of its work.


def prolog_of(node: Node, number: int) -> int | None:
    """Its process, as this machine numbers it."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [b"prolog"] and os.path.samefile(process / "ns/pid", f"/proc/{node.pid}/ns/pid"):
                variables = (process / "environ").read_bytes().split(b"\0")
                if f"SLURM_JOB_ID={number}".encode() in variables:
                    return int(process.name)
    return None


def begun(node: Node, number: int) -> int:
    """How many of its operations on the node the Prolog has begun."""
    with contextlib.suppress(OSError):
        journal = (node.root / f"run/spank-container/jobs/{number}/journal").read_text()
        return len({json.loads(line)["op"] for line in journal.splitlines()})
    return 0


def wait_for_prolog(node: Node, number: int, operations: int) -> int:
    """Its process, when it has begun so many operations."""
    deadline = time.monotonic() + 30
    while (pid := prolog_of(node, number)) is None:
        assert time.monotonic() < deadline, "there is no Prolog"
    while begun(node, number) < operations:
        assert time.monotonic() < deadline, "the Prolog does not get on"
    return pid


@pytest.mark.parametrize("operations", [0, 1, 2, 3])
def test_a_killed_prolog_leaves_nothing(site: Cluster, operations: int) -> None:
    """Slurm takes the node out of service and holds the job, as for every Prolog that fails."""
    number = jobs.start(site.members["login"], "#!/bin/sh\necho it runs", *ON_N1)
    os.kill(wait_for_prolog(site.members["n1"], number, operations), signal.SIGKILL)
    site.run("until sinfo --noheader --nodes n1 --format=%T | grep drain; do sleep 0.05; done")
    site.run(["scancel", str(number)])
    assert "it runs" not in jobs.wait(site.members["login"], number).output
    put_back_into_service(site)
    assert_nothing_left(site)
    assert site.sbatch("#!/bin/sh\nsrun cat /etc/os-release", *ON_N1).output == BUSYBOX


def test_slurmd_is_killed_while_the_prolog_runs(site: Cluster) -> None:
    """The Prolog outlives it, and the Epilog waits for it."""
    node = site.members["n1"]
    with running(site, "pause end", *ON_N1) as job:
        wait_for_prolog(node, job.id, operations=1)
        kill_slurmd(node)
        node.sh("slurmd")


# The sweep.

DEAD = 4_000_000_000  # no job of Slurm's has such a number
PROLOG = f"""
export SLURM_JOB_ID={DEAD} SLURM_JOB_UID=2001 SLURM_JOB_GID=2001 SLURM_JOB_USER=alice SLURMD_NODENAME=n1
export SPANK_CONTAINER_REQUEST="$(cat)"
for script in /etc/slurm/prolog.d/*; do env -u PATH -u HOME $script; done
"""


def submitted(site: Cluster, *options: str) -> str:
    """The request that a job with these options would carry: the first line; variables of the job follow it."""
    return site.run([PROGRAM, "submit", *options]).stdout.partition("\n")[0]


def test_the_sweep_takes_what_is_dead_and_leaves_what_lives(site: Cluster) -> None:
    node = site.members["n1"]
    request = submitted(site, "--image=docker:debian:trixie", CACHE)
    with running(site, "srun sh -c 'echo kept > /mnt/file'; pause swept; srun cat /mnt/file", *ON_N1) as job:
        job.reach("swept")
        node.sh(PROLOG, stdin=request)
        assert f"/run/spank-container/jobs/{DEAD}/ready" in leftovers.of_node(node).files
        checked = json.loads(site.run([PROGRAM, "check", "--json"], user="root", node="n1").stdout)
        assert [found["why"] for found in checked if found["level"] != "ok"] == [f"1 ended and left something: {DEAD}"]
        done = site.run([PROGRAM, "sweep"], user="root", node="n1")
        assert json.loads(done.stdout) == [DEAD], done.stderr
        assert not any(str(DEAD) in path for path in leftovers.of_node(node).files)
        assert json.loads(site.run([PROGRAM, "sweep"], user="root", node="n1").stdout) == []
        job.go("swept")
        assert job.wait().output.endswith("kept\n")


# Jobs that do not go as planned.


def test_an_image_that_is_gone_before_the_job_starts(site: Cluster) -> None:
    digest = json.loads(submitted(site, IMAGE))["digest"].replace(":", "-")
    images = DATA / "shared/spank-container/images"
    number = jobs.start(site.members["login"], "#!/bin/sh\necho it runs", "--hold", *ON_N1)
    (images / f"{digest}.squashfs").rename(images / "away")
    try:
        site.run(["scontrol", "release", str(number)])
        job = jobs.wait(site.members["login"], number)
    finally:
        (images / "away").rename(images / f"{digest}.squashfs")
    assert (job.state, job.exit_code) == ("FAILED", 1)
    assert f"spank-container: the image {digest} is not in the store any more\n" in job.output
    assert "hint: " in job.output
    assert "it runs" not in job.output


REQUEUED = """
run=${SLURM_RESTART_COUNT:-0}
echo "== files $run"; srun sh -c 'ls -A /tmp /mnt | grep file; touch /tmp/file /mnt/file'
echo "== image $run"; srun cat /etc/os-release
pause "run $run"
"""


# Again and again: while the node is still completing the former run, slurmctld may put the start off once more.
START_NOW = """
for try in $(seq 60); do
    scontrol update JobId={job} StartTime=now
    squeue --noheader --jobs {job} --format=%T | grep --quiet RUNNING && exit
    sleep 0.5
done
scontrol show job {job}; sinfo --Node --long
exit 1
"""


def start_again(site: Cluster, number: int) -> None:
    """At once: Slurm waits for two minutes, until no credential of the job's former run is good any more.

    Until then slurmd may run no Prolog for the job (22.05 never does, 24.11 at times), so it is made to forget them.
    """
    site.run(f"until squeue --noheader --jobs {number} --format=%r%T | grep BeginTime; do sleep 0.05; done")
    kill_slurmd(site.members["n1"])
    site.members["n1"].sh("rm -f /var/lib/slurm/slurmd/cred_state*; slurmd")
    done = site.run(START_NOW.format(job=number), user="root")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_requeued_job_gets_a_fresh_container(site: Cluster) -> None:
    with running(site, REQUEUED, "--requeue", "--open-mode=append", *ON_N1) as job:
        job.reach("run 0")
        site.run(["scontrol", "requeue", str(job.id)])
        start_again(site, job.id)
        job.reach("run 1")
        job.go("run 1")
        seen = sections(job.wait().output)
    assert (seen["files 0"], seen["image 0"]) == ("", BUSYBOX)
    assert (seen["files 1"], seen["image 1"]) == ("", BUSYBOX)


def test_a_cancelled_job_leaves_nothing(site: Cluster) -> None:
    with running(site, "srun --overlap sh -c 'cd /mnt; sleep 1000' & pause cancelled", *ON_N1) as job:
        job.reach("cancelled")
        wait_for_process(site, "sleep 1000")
        site.run(["scancel", str(job.id)])
        assert job.wait().state == "CANCELLED"

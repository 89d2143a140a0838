"""The entry itself, into a real pinned mount namespace: each test in a mount namespace of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.slurm_player import Outcome, Scenario

    JobStep = Callable[..., Scenario]

pytestmark = pytest.mark.kernel

# One CPU, since from Linux 6.18 on each CPU numbers namespaces from a batch of its own, and the kernel refuses to pin one
# in another with a higher number (spank_container/kernel/namespace.py).
CPU = str(min(os.sched_getaffinity(0)))
PRIVATE = ("taskset", "-c", CPU, "unshare", "--mount", "--propagation", "private", "sh", "-c")
NODE = "; the administrator must look at this node"

# As the Prolog leaves it: a private tmpfs, and a namespace with something in it that the host does not have. What
# remains of it goes when the shell's namespace does.
PREPARE = """
set -eu
state=$1 inside=$2; shift 2
mount -t tmpfs -o mode=0700 state "$state"
mount --make-private "$state"
mkdir -p "$state/jobs/7" "$state/jobs/8"
touch "$state/jobs/7/mnt.ns" "$state/jobs/7/ready" "$state/jobs/8/ready"
printf 'FROM_IMAGE=1\\0GONE\\0' > "$state/jobs/7/env"
: > "$state/jobs/8/env"
unshare --mount="$state/jobs/7/mnt.ns" --propagation private \\
    sh -euc 'mount -t tmpfs container "$1"; touch "$1/here"' sh "$inside"
exec "$@"
"""


@pytest.fixture
def play(tmp_path: Path, state: Path) -> Callable[[Scenario], Outcome]:
    inside = tmp_path / "inside"
    inside.mkdir()
    tmp_path.chmod(0o755)

    def run(scenario: Scenario) -> Outcome:
        scenario.say("probe", inside / "here").say("probe", state / "jobs")
        return scenario.play(*PRIVATE, PREPARE, "sh", state, inside)

    return run


def test_the_task_is_inside(job_step: JobStep, play: Callable[[Scenario], Outcome], tmp_path: Path) -> None:
    outcome = play(job_step().say("job_variable", "GONE", "1"))
    assert outcome.results("task_init_privileged") == [0]
    assert not outcome.errors
    assert outcome.probes[f"{tmp_path}/inside/here"] is True
    assert outcome.namespaces["task"] != outcome.namespaces["slurmstepd"]
    assert outcome.task_environment["FROM_IMAGE"] == "1"
    assert "GONE" not in outcome.task_environment
    assert outcome.leaked_descriptors == [0]


def test_privileges(job_step: JobStep, play: Callable[[Scenario], Outcome]) -> None:
    """Even of a daemon that was started with ambient capabilities, nothing is left; Slurm can still become the user."""
    outcome = play(job_step().say("ambient").say("uid", 1000).say("gid", 1000))
    task, user = outcome.status("task"), outcome.status("user")
    assert {name: task[name] for name in ("CapInh", "CapBnd", "CapAmb", "NoNewPrivs")} == {
        "CapInh": 0,
        "CapBnd": 0,
        "CapAmb": 0,
        "NoNewPrivs": 1,
    }
    assert task["CapEff"] == outcome.status("slurmstepd")["CapEff"] != 0
    assert {user[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert user["NoNewPrivs"] == 1


def test_every_task_enters(job_step: JobStep, play: Callable[[Scenario], Outcome]) -> None:
    outcome = play(job_step().say("tasks", 5))
    assert outcome.exits == [0] * 5
    assert list(outcome.probes.values()).count(False) == 0


def test_the_host_stays_the_host(job_step: JobStep, play: Callable[[Scenario], Outcome], tmp_path: Path) -> None:
    """A step that wants the host, beside the container: neither the namespace nor the privileges are touched."""
    outcome = play(job_step().say("message", "image", "none"))
    assert outcome.probes[f"{tmp_path}/inside/here"] is False
    assert outcome.namespaces["task"] == outcome.namespaces["slurmstepd"]
    assert outcome.status("task") == outcome.status("slurmstepd")
    assert "FROM_IMAGE" not in outcome.task_environment


def test_timing(job_step: JobStep, play: Callable[[Scenario], Outcome], tmp_path: Path) -> None:
    """The file is the host's, although the task is in the container when it writes the line."""
    play(job_step().say("argument", f"timing={tmp_path}/times").say("tasks", 20))
    times = [float(line.split()[3]) for line in (tmp_path / "times").read_text().splitlines()]
    assert len(times) == 20


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("umount {pin}; rm {pin}", "cannot open the container's namespace: No such file or directory"),
        ("umount {pin}", "cannot enter the container: Invalid argument"),
        ("mount --bind /proc/self/ns/uts {pin}", "cannot enter the container: Invalid argument"),
        ("umount {pin}; rm {pin}; mkdir {pin}", "cannot enter the container: Invalid argument"),
        (
            "umount {pin}; rm {pin}; ln -s /proc/1/ns/mnt {pin}",
            "cannot open the container's namespace: Too many levels of symbolic links",
        ),
    ],
)
def test_a_pin_that_is_none(job_step: JobStep, state: Path, tmp_path: Path, damage: str, sentence: str) -> None:
    (tmp_path / "inside").mkdir()
    script = PREPARE.replace('exec "$@"', damage.format(pin=f"{state}/jobs/7/mnt.ns") + '\nexec "$@"')
    outcome = job_step().play(*PRIVATE, script, "sh", state, tmp_path / "inside")
    assert outcome.results("task_init_privileged") == [-1]
    assert outcome.errors == [f"spank-container: {sentence}{NODE}"]


def test_without_privileges(job_step: JobStep, play: Callable[[Scenario], Outcome]) -> None:
    """A slurmd that may enter, but may not give up capabilities: the task does not run with what is left."""
    scenario = job_step().say("lacks", 8)  # CAP_SETPCAP
    outcome = play(scenario)
    assert outcome.results("task_init_privileged") == [-1]
    assert outcome.errors == [f"spank-container: cannot give up capabilities: Operation not permitted{NODE}"]

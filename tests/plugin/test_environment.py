"""jobs/JOB/env: NAME=VALUE sets, NAME unsets, - clears; all of it is read before the task goes anywhere."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import JOB_REQUEST, NO_NAMESPACE, NODE, container, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.slurm_player import Outcome, Scenario

    JobStep = Callable[..., Scenario]


def play(job_step: JobStep, state: Path, records: bytes) -> Outcome:
    (container(state) / "env").write_bytes(records)
    scenario = job_step().say("job_variable", "GONE", "1").say("job_variable", "OLD", "1")
    return scenario.say("job_variable", "KEPT", "1").play()


def test_applied(job_step: JobStep, state: Path) -> None:
    outcome = play(job_step, state, b"OLD=2\0NEW=a=b\nc\0EMPTY=\0GONE\0NEVER\0_x9=\xc3\xa4\0")
    refused(outcome, NO_NAMESPACE)
    environment = outcome.task_environment
    assert environment.pop(JOB_REQUEST)
    assert not any("set_in_task" in event for event in outcome.events)  # once a step: it is slow in Slurm
    assert environment == {"OLD": "2", "NEW": "a=b\nc", "EMPTY": "", "KEPT": "1", "_x9": "\xc3\xa4"}


def test_cleared(job_step: JobStep, state: Path) -> None:
    """But for what begins with what was named before; a name with = or newlines in its value is a name all the same."""
    (container(state) / "env").write_bytes(b"EARLY=1\0+KEPT\0+SLURM_\0-\0+LATE\0NEW=1\0")
    scenario = job_step()
    for name in ("KEPT", "KEPT_TOO", "SLURM_X", "LATE", "OLD", "BASH_FUNC_f%%", "KEP", "SLURM"):
        scenario.say("job_variable", name, f"{name}=x")
    outcome = scenario.play()
    refused(outcome, NO_NAMESPACE)
    assert outcome.task_environment.keys() == {"KEPT", "KEPT_TOO", "SLURM_X", "SLURM_SPANK_CONTAINER_REQUEST", "NEW"}


def test_slurm_does_not_clear(job_step: JobStep, state: Path) -> None:
    (container(state) / "env").write_bytes(b"-\0")
    sentence = f"spank-container: Slurm does not clear the job's environment{NODE}"
    refused(job_step().say("job_variable", "SLURM_STAYS", "1").play(), sentence, sentence)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"A=1", f"is cut short{NODE}"),
        (b"A=1\0B", f"is cut short{NODE}"),
        (b"\0", f"is malformed{NODE}"),
        (b"A=1\0\0B=2\0", f"is malformed{NODE}"),
        (b"=1\0", f"is malformed{NODE}"),
        (b"1A=1\0", f"is malformed{NODE}"),
        (b"A B=1\0", f"is malformed{NODE}"),
        (b"A-B\0", f"is malformed{NODE}"),
        (b"\xc3\xa4=1\0", f"is malformed{NODE}"),
        (b"+\0", f"is malformed{NODE}"),
        (b"-A\0", f"is malformed{NODE}"),
        (b"@\0", f"is malformed{NODE}"),
        (b"@folder\0", f"is malformed{NODE}"),
        (b"<A\0", f"is malformed{NODE}"),
        (b"A=" + b"x" * 2**20 + b"\0", "is larger than 1 MiB; use an image with a smaller one"),
    ],
)
def test_refused(job_step: JobStep, state: Path, records: bytes, reason: str) -> None:
    sentence = f"spank-container: the container's environment {reason}"
    refused(play(job_step, state, records), sentence, sentence)


def test_the_largest(job_step: JobStep, state: Path) -> None:
    outcome = play(job_step, state, b"A=" + b"x" * (2**20 - 3) + b"\0")
    refused(outcome, NO_NAMESPACE)
    assert len(outcome.task_environment["A"]) == 2**20 - 3


def test_slurm_refuses(job_step: JobStep, state: Path) -> None:
    sentence = f"spank-container: Slurm does not take SLURM_REFUSES from the container's environment{NODE}"
    refused(play(job_step, state, b"SLURM_REFUSES=1\0"), sentence, sentence)


@pytest.mark.parametrize(("kind", "reason"), [("none", "No such file or directory"), ("folder", "Is a directory")])
def test_unreadable(job_step: JobStep, state: Path, kind: str, reason: str) -> None:
    path = container(state) / "env"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    sentence = f"spank-container: cannot read the container's environment: {reason}{NODE}"
    refused(job_step().play(), sentence, sentence)


def test_random_bytes(fuzz: Path, state: Path) -> None:
    """The fuzzer's own parser, a state machine, must agree on every input."""
    container(state, job=1)
    done = subprocess.run([fuzz, state, "2"], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr.decode())
    rounds, valid = map(int, done.stdout.split())
    assert 0 < valid < rounds  # both verdicts were seen

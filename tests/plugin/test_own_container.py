"""srun --image=other in a job: `COMMAND step` builds it, and gets nothing of the user's but the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import (
    BATCH,
    EXTERN,
    INTERACTIVE,
    JSON,
    NO_NAMESPACE,
    NODE,
    STEP_REQUEST,
    container,
    on_host,
    refused,
    signals,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.conftest import Command
    from plugin.slurm_player import Scenario

    JobStep = Callable[..., Scenario]


@pytest.fixture
def asking(job_step: JobStep) -> Scenario:
    scenario = job_step(3).say("job_variable", STEP_REQUEST, JSON).say("message", "image", "other")
    scenario.say("uid", 1000).say("gid", 100).say("restarts", 2)
    scenario.environ |= {"SLURMD_NODENAME": "n1", "LD_PRELOAD_NOT": "x"}
    return scenario.say("job_variable", "LD_PRELOAD", "/evil.so").say("job_variable", "PATH", "/evil")


def test_built_and_undone(asking: Scenario, command: Command, state: Path) -> None:
    path = state / "jobs/7/steps/3"
    command.does(f'[ "$2" ] || {{ mkdir -p {path}; touch {path}/ready {path}/env; }}; echo noise')
    container(state)  # the job's: not the one that was asked for
    outcome = asking.play()
    assert command.calls == [["step"], ["step", "--end"]]
    refused(outcome, NO_NAMESPACE)
    assert outcome.results("exit") == [0]
    assert STEP_REQUEST not in outcome.task_environment  # an srun in there is another step


def test_its_environment_is_fixed(asking: Scenario, command: Command) -> None:
    asking.play()
    environment = command.environment
    assert environment == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/nonexistent",
        "SPANK_CONTAINER_REQUEST": JSON,
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "3",
        "SLURM_JOB_UID": "1000",
        "SLURM_JOB_GID": "100",
        "SLURM_JOB_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "n1",
    }


def test_its_descriptors(asking: Scenario, command: Command, tmp_path: Path) -> None:
    """slurmstepd's standard output is its pipe to slurmd."""
    command.does(f"exec 3>&1 > {tmp_path}/fds; readlink /proc/$$/fd/0 /proc/$$/fd/3")
    asking.play()
    assert (tmp_path / "fds").read_text().split()[:2] == ["/dev/null", "/dev/null"]


def test_its_signals(asking: Scenario, command: Command) -> None:
    """slurmstepd blocks and ignores most of them."""
    status = command.tells_its_signals()
    asking.play()
    assert signals(status)["SigBlk:"] == 0
    assert signals(status)["SigIgn:"] == 0


def test_its_refusal(asking: Scenario, command: Command, state: Path) -> None:
    path = state / "jobs/7/steps/3"
    command.does(f'[ "$2" ] && exit 0; mkdir -p {path}; echo "no image other" > {path}/failed; exit 64')
    container(state)
    refused(asking.play(), "spank-container: no image other")


@pytest.mark.parametrize("script", ["exit 71", "exit 0", "kill -9 $$"])
def test_its_silent_death(asking: Scenario, command: Command, state: Path, script: str) -> None:
    """Not the job's container, and not the host."""
    command.does(script)
    container(state)
    outcome = asking.play()
    assert f"spank-container: the container of step 7.3 was not built{NODE}" in outcome.errors
    assert outcome.results("task_init_privileged") == [-1]


def test_a_failed_end_is_told(asking: Scenario, command: Command) -> None:
    command.does('[ "$2" ] && exit 71; exit 64')
    outcome = asking.play()
    assert outcome.errors[-1] == "spank-container: step 7.3 is not undone; the Epilog tries again"
    assert outcome.results("exit") == [0]  # anything else fails the job, which has done its work


def test_the_longest_request(job_step: JobStep, command: Command) -> None:
    job_step().say("job_variable", STEP_REQUEST, "x" * 65536).play()
    assert command.environment["SPANK_CONTAINER_REQUEST"] == "x" * 65536


def test_a_request_that_is_too_long(job_step: JobStep, command: Command, state: Path) -> None:
    container(state)
    outcome = job_step().say("job_variable", STEP_REQUEST, "x" * 65537).play()
    refused(outcome, f"spank-container: the container of step 7.1 was not built{NODE}")
    assert ["step"] not in command.calls


def test_whose_job(asking: Scenario, command: Command) -> None:
    outcome = asking.say("fails_item", 0).play()
    assert f"spank-container: Slurm does not say whose job 7 is{NODE}" in outcome.errors
    assert outcome.results("task_init_privileged") == [-1]
    assert not command.calls


@pytest.mark.parametrize("step", [BATCH, INTERACTIVE, EXTERN])
def test_not_for_other_steps(job_step: JobStep, command: Command, step: int) -> None:
    outcome = job_step(step).say("job_variable", STEP_REQUEST, JSON).play()
    on_host(outcome)
    assert not command.calls


def test_none_wins(asking: Scenario, command: Command) -> None:
    on_host(asking.say("message", "image", "none").play())
    assert not command.calls

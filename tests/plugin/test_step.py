"""slurmstepd: what the state directory says decides where a task runs, and it fails closed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from slurm_player import BATCH, EXTERN, INTERACTIVE, JOB_REQUEST, OPTION, STEP_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command
    from slurm_player import Outcome, Scenario

    JobStep = Callable[..., Scenario]

JSON = '{"digest":"sha256:2","image":"docker:other","version":1,"volumes":[]}'
NODE = "; the administrator must look at this node"
NOT_PREPARED = (
    "spank-container: the Prolog did not prepare this node; the administrator must set Prolog and PrologFlags=Alloc"
)
NO_NAMESPACE = f"spank-container: cannot open the container's namespace: No such file or directory{NODE}"


def container(state: Path, job: int = 7, step: int | None = None) -> Path:
    """A container's directory, ready but for the pin: without it, whoever wants in is refused at the door."""
    path = state / "jobs" / str(job)
    path = path if step is None else path / "steps" / str(step)
    path.mkdir(parents=True)
    (path / "ready").touch()
    (path / "env").write_bytes(b"")
    return path


def refused(outcome: Outcome, *errors: str) -> None:
    """The task failed with exactly these words; the step did not fail before it, which might drain the node."""
    assert outcome.results("init") == [0]
    assert outcome.results("init_post_opt") == [0]
    assert outcome.results("task_init_privileged") == [-1]
    assert outcome.exits == [1]
    assert outcome.errors == list(errors)
    assert outcome.leaked_descriptors == [0]


def on_host(outcome: Outcome) -> None:
    assert outcome.results("task_init_privileged") == [0]
    assert outcome.exits == [0]
    assert not outcome.errors


def test_the_order_of_calls(job_step: JobStep) -> None:
    outcome = job_step(requested=False).say("tasks", 3).play()
    assert outcome.calls == ["init", "init_post_opt", *["task_init_privileged"] * 3, "exit"]
    assert outcome.exits == [0, 0, 0]


class TestOnTheHost:
    """Who asked for nothing is left alone."""

    def test_no_image(self, job_step: JobStep, command: Command) -> None:
        on_host(job_step(requested=False).play())
        assert not command.calls

    def test_a_node_that_never_had_a_container(self, job_step: JobStep, state: Path) -> None:
        (state / "jobs").rmdir()
        state.rmdir()
        on_host(job_step(requested=False).play())

    def test_a_job_whose_other_step_has_a_container(self, job_step: JobStep, state: Path) -> None:
        container(state, step=5)
        on_host(job_step(requested=False).play())

    def test_no_image_costs_one_look(self, job_step: JobStep, state: Path, command: Command) -> None:
        """That there is no jobs/7 is enough: not even the state directory's owner is asked for."""
        state.chmod(0o777)
        on_host(job_step(requested=False).play())
        assert not command.calls

    @pytest.mark.parametrize("ready", [False, True])
    def test_none(self, job_step: JobStep, state: Path, *, ready: bool) -> None:
        if ready:
            container(state)
        on_host(job_step().say("message", "image", "none").play())

    @pytest.mark.parametrize("step", [BATCH, INTERACTIVE])
    def test_the_batch_script_and_sallocs_shell(self, job_step: JobStep, state: Path, step: int) -> None:
        container(state)
        outcome = job_step(step).play()
        on_host(outcome)
        assert JOB_REQUEST in outcome.task_environment

    def test_the_extern_step(self, job_step: JobStep, state: Path, command: Command) -> None:
        container(state)
        outcome = job_step(EXTERN).say("tasks", 0).say("job_variable", STEP_REQUEST, JSON).play()
        assert outcome.calls == ["init", "init_post_opt", "exit"]
        assert outcome.results("exit") == [0]
        assert not outcome.errors
        assert not command.calls


class TestFailClosed:
    """A job that asked for an image never runs on the host instead."""

    def test_the_job_asked(self, job_step: JobStep) -> None:
        refused(job_step().play(), NOT_PREPARED)

    @pytest.mark.parametrize("value", ["", "{}", "x" * 100_000])
    def test_whatever_the_request_says(self, job_step: JobStep, value: str) -> None:
        refused(job_step(requested=False).say("job_variable", JOB_REQUEST, value).play(), NOT_PREPARED)

    @pytest.mark.parametrize("option", ["image", "volume"])
    def test_srun_asked(self, job_step: JobStep, option: str) -> None:
        """srun alone: the first step of its own job."""
        refused(job_step(0, requested=False).say("message", option, "x").play(), NOT_PREPARED)

    def test_srun_asked_through_the_environment(self, job_step: JobStep) -> None:
        outcome = job_step(0, requested=False).say("job_variable", f"{OPTION}image", "a").play()
        refused(outcome, NOT_PREPARED)

    def test_the_prolog_did_not_come_to_an_end(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "ready").unlink()
        refused(job_step().play(), NOT_PREPARED)

    def test_jobid_from_outside(self, job_step: JobStep, state: Path) -> None:
        """`srun --jobid=7 --image=other`: nothing has judged or built that image, and the job's is another one."""
        container(state)
        refused(
            job_step(3).say("message", "image", "other").play(),
            "spank-container: --image and --volume do not go with --jobid; set SLURM_JOB_ID=7 instead",
        )

    def test_who_am_i(self, job_step: JobStep) -> None:
        refused(
            job_step().say("fails_item", 3).play(),
            f"spank-container: Slurm does not say which job and step this is{NODE}",
        )

    @pytest.mark.parametrize("old_release", [False, True])
    def test_options_delivered_twice(self, job_step: JobStep, state: Path, *, old_release: bool) -> None:
        """Before 24.05 Slurm gave an option from the launch message and from the environment."""
        container(state)
        scenario = job_step(0)
        for option, value in (("image", "a"), ("volume", "/x:/y")):
            scenario.say("message", option, value).say("job_variable", f"{OPTION}{option}", value)
        if old_release:
            scenario.say("old_release")
        refused(scenario.play(), NO_NAMESPACE)


class TestFailed:
    """The reason stands in the job's own output."""

    TEXT = "--image: no such image\n    docker:x\n    ^~~~~~~~\nhint: spank-container images\n"

    @pytest.mark.parametrize("step", [1, BATCH, INTERACTIVE])
    def test_line_by_line(self, job_step: JobStep, state: Path, step: int) -> None:
        path = container(state)
        (path / "ready").unlink()
        (path / "failed").write_text(self.TEXT)
        refused(job_step(step).play(), *[f"spank-container: {line}" for line in self.TEXT.splitlines()])

    def test_failed_comes_before_ready(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "failed").write_text("no\n")
        refused(job_step().play(), "spank-container: no")

    def test_bounded(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "failed").write_text("x" * 100_000)
        refused(job_step().play(), f"spank-container: {'x' * 8191}")

    @pytest.mark.parametrize("kind", ["empty", "folder", "link"])
    def test_lost(self, job_step: JobStep, state: Path, kind: str) -> None:
        failed = container(state) / "failed"
        {"empty": failed.touch, "folder": failed.mkdir, "link": lambda: failed.symlink_to("/etc/passwd")}[kind]()
        refused(job_step().play(), f"spank-container: the container was not built and the reason is lost{NODE}")


class TestTheStateDirectory:
    """Only what root alone can have made is believed."""

    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
    def test_writable_by_others(self, job_step: JobStep, state: Path, mode: int) -> None:
        container(state)
        state.chmod(mode)
        sentence = f"spank-container: {state} does not belong to root alone{NODE}"
        refused(job_step().play(), sentence, sentence)  # in slurmd's log, and in the job's output

    def test_somebody_elses(self, job_step: JobStep, state: Path) -> None:
        container(state)
        os.chown(state, 1000, -1)
        sentence = f"spank-container: {state} does not belong to root alone{NODE}"
        refused(job_step().play(), sentence, sentence)

    def test_a_link_in_its_place(self, job_step: JobStep, state: Path) -> None:
        container(state)
        state.rename(state.with_name("real"))
        state.symlink_to("real")
        sentence = f"spank-container: cannot open {state}: Not a directory{NODE}"
        refused(job_step().play(), sentence, sentence)

    @pytest.mark.parametrize("linked", ["jobs/7", "jobs"])
    def test_a_link_below_it(self, job_step: JobStep, state: Path, linked: str) -> None:
        container(state)
        (state / linked).rename(state / "real")
        (state / linked).symlink_to(state / "real")
        sentence = f"spank-container: cannot open jobs/7 in {state}: Too many levels of symbolic links{NODE}"
        refused(job_step().play(), sentence, sentence)

    def test_a_file_in_a_directorys_place(self, job_step: JobStep, state: Path) -> None:
        (state / "jobs/7").touch()
        sentence = f"spank-container: cannot open jobs/7 in {state}: Not a directory{NODE}"
        refused(job_step(BATCH).play(), sentence)


class TestTheEnvironment:
    """jobs/JOB/env: NAME=VALUE sets, NAME unsets; all of it is read before the task goes anywhere."""

    def play(self, job_step: JobStep, state: Path, records: bytes) -> Outcome:
        (container(state) / "env").write_bytes(records)
        scenario = job_step().say("job_variable", "GONE", "1").say("job_variable", "OLD", "1")
        return scenario.say("job_variable", "KEPT", "1").play()

    def test_applied(self, job_step: JobStep, state: Path) -> None:
        outcome = self.play(job_step, state, b"OLD=2\0NEW=a=b\nc\0EMPTY=\0GONE\0NEVER\0_x9=\xc3\xa4\0")
        refused(outcome, NO_NAMESPACE)
        environment = outcome.task_environment
        assert environment.pop(JOB_REQUEST)
        assert environment == {"OLD": "2", "NEW": "a=b\nc", "EMPTY": "", "KEPT": "1", "_x9": "\xc3\xa4"}

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
            (b"A=" + b"x" * 2**20 + b"\0", "is larger than 1 MiB; use an image with a smaller one"),
        ],
    )
    def test_refused(self, job_step: JobStep, state: Path, records: bytes, reason: str) -> None:
        sentence = f"spank-container: the container's environment {reason}"
        refused(self.play(job_step, state, records), sentence, sentence)

    def test_the_largest(self, job_step: JobStep, state: Path) -> None:
        outcome = self.play(job_step, state, b"A=" + b"x" * (2**20 - 3) + b"\0")
        refused(outcome, NO_NAMESPACE)
        assert len(outcome.task_environment["A"]) == 2**20 - 3

    def test_slurm_refuses(self, job_step: JobStep, state: Path) -> None:
        sentence = f"spank-container: Slurm does not take SLURM_REFUSES from the container's environment{NODE}"
        refused(self.play(job_step, state, b"SLURM_REFUSES=1\0"), sentence, sentence)

    @pytest.mark.parametrize(("kind", "reason"), [("none", "No such file or directory"), ("folder", "Is a directory")])
    def test_unreadable(self, job_step: JobStep, state: Path, kind: str, reason: str) -> None:
        path = container(state) / "env"
        path.unlink()
        if kind == "folder":
            path.mkdir()
        sentence = f"spank-container: cannot read the container's environment: {reason}{NODE}"
        refused(job_step().play(), sentence, sentence)

    def test_random_bytes(self, driver: Path, state: Path) -> None:
        """The driver's own parser, a state machine, must agree on every input."""
        container(state, job=1)
        done = subprocess.run([driver, "--fuzz", state, "2"], capture_output=True, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr.decode())
        rounds, valid = map(int, done.stdout.split())
        assert rounds > 1000
        assert rounds / 100 < valid < rounds  # both verdicts were seen


class TestAStepsOwnContainer:
    """srun --image=other inside a job: `COMMAND step` builds it, with nothing of the user's but the request."""

    @pytest.fixture
    def asking(self, job_step: JobStep) -> Scenario:
        scenario = job_step(3).say("job_variable", STEP_REQUEST, JSON).say("message", "image", "other")
        scenario.say("uid", 1000).say("gid", 100).say("restarts", 2)
        scenario.environ |= {"SLURMD_NODENAME": "n1", "LD_PRELOAD_NOT": "x"}
        return scenario.say("job_variable", "LD_PRELOAD", "/evil.so").say("job_variable", "PATH", "/evil")

    def test_built_and_undone(self, asking: Scenario, command: Command, state: Path) -> None:
        path = state / "jobs/7/steps/3"
        command.does(f'[ "$2" ] || {{ mkdir -p {path}; touch {path}/ready {path}/env; }}; echo noise')
        container(state)  # the job's: not the one that was asked for
        outcome = asking.play()
        assert command.calls == [["step"], ["step", "--end"]]
        refused(outcome, NO_NAMESPACE)
        assert outcome.results("exit") == [0]
        assert STEP_REQUEST not in outcome.task_environment  # an srun in there is another step

    def test_its_environment_is_fixed(self, asking: Scenario, command: Command) -> None:
        asking.play()
        environment = command.environment
        assert environment == {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SPANK_CONTAINER_REQUEST": JSON,
            "SLURM_JOB_ID": "7",
            "SLURM_STEP_ID": "3",
            "SLURM_JOB_UID": "1000",
            "SLURM_JOB_GID": "100",
            "SLURM_JOB_RESTART_COUNT": "2",
            "SLURMD_NODENAME": "n1",
        }

    def test_its_process(self, asking: Scenario, command: Command, tmp_path: Path) -> None:
        """slurmstepd blocks most signals, and its standard output is its pipe to slurmd."""
        look = "readlink /proc/$$/fd/0 /proc/$$/fd/3; exec grep Sig /proc/self/status"
        command.does(f"exec 3>&1 > {tmp_path}/fds; {look} > {tmp_path}/signals")
        asking.play()
        assert (tmp_path / "fds").read_text().split() == ["/dev/null", "/dev/null"]
        signals = dict(line.split() for line in (tmp_path / "signals").read_text().splitlines())
        assert int(signals["SigBlk:"], 16) == 0
        assert int(signals["SigIgn:"], 16) & 0x7FFFFFFF == 0

    def test_its_refusal(self, asking: Scenario, command: Command, state: Path) -> None:
        path = state / "jobs/7/steps/3"
        command.does(f'[ "$2" ] && exit 0; mkdir -p {path}; echo "no image other" > {path}/failed; exit 64')
        container(state)
        refused(asking.play(), "spank-container: no image other")

    @pytest.mark.parametrize("script", ["exit 71", "exit 0", "kill -9 $$"])
    def test_its_silent_death(self, asking: Scenario, command: Command, state: Path, script: str) -> None:
        """Not the job's container, and not the host."""
        command.does(script)
        container(state)
        outcome = asking.play()
        assert outcome.errors[-1] in {
            f"spank-container: the container of step 7.3 was not built{NODE}",
            f"spank-container: {command.path} did not come to its own end; try again",
        }
        assert outcome.results("task_init_privileged") == [-1]

    def test_a_failed_end_is_told(self, asking: Scenario, command: Command) -> None:
        command.does('[ "$2" ] && exit 71; exit 64')
        assert asking.play().results("exit") == [-1]

    def test_the_longest_request(self, job_step: JobStep, command: Command) -> None:
        job_step().say("job_variable", STEP_REQUEST, "x" * 65536).play()
        assert command.environment["SPANK_CONTAINER_REQUEST"] == "x" * 65536

    def test_a_request_that_is_too_long(self, job_step: JobStep, command: Command, state: Path) -> None:
        container(state)
        outcome = job_step().say("job_variable", STEP_REQUEST, "x" * 65537).play()
        refused(outcome, f"spank-container: the container of step 7.1 was not built{NODE}")
        assert ["step"] not in command.calls

    def test_whose_job(self, asking: Scenario, command: Command) -> None:
        outcome = asking.say("fails_item", 0).play()
        assert f"spank-container: Slurm does not say whose job 7 is{NODE}" in outcome.errors
        assert outcome.results("task_init_privileged") == [-1]
        assert not command.calls

    @pytest.mark.parametrize("step", [BATCH, INTERACTIVE, EXTERN])
    def test_not_for_other_steps(self, job_step: JobStep, command: Command, step: int) -> None:
        outcome = job_step(step).say("job_variable", STEP_REQUEST, JSON).play()
        on_host(outcome)
        assert not command.calls

    def test_none_wins(self, asking: Scenario, command: Command) -> None:
        on_host(asking.say("message", "image", "none").play())
        assert not command.calls


def test_timing(job_step: JobStep, state: Path, tmp_path: Path) -> None:
    """One line a task, whatever became of it; only when plugstack.conf asks for it."""
    (tmp_path / "times").write_text("")
    outcome = job_step(4, requested=False).say("argument", f"timing={tmp_path}/times").say("tasks", 2).play()
    assert outcome.results("task_init_privileged") == [0, 0]
    lines = (tmp_path / "times").read_text().splitlines()
    assert [line.split()[:3] for line in lines] == [["7", "4", "0"], ["7", "4", "1"]]
    assert all(0 < float(line.split()[3]) < 1e6 for line in lines)

"""slurmstepd: what the state directory says decides where a task runs, and it fails closed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import (
    BATCH,
    EXTERN,
    INTERACTIVE,
    JOB_REQUEST,
    JSON,
    NO_NAMESPACE,
    NODE,
    OPTION,
    STEP_REQUEST,
    container,
    on_host,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.conftest import Command
    from plugin.slurm_player import Scenario

    JobStep = Callable[..., Scenario]

NOT_PREPARED = (
    "spank-container: the Prolog did not prepare this node; the administrator must set Prolog and PrologFlags=Alloc"
)


def test_the_order_of_calls(job_step: JobStep) -> None:
    outcome = job_step(requested=False).say("tasks", 3).play()
    assert outcome.calls == ["init", "init_post_opt", *["task_init_privileged", "task_init"] * 3, "exit"]
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
            "spank-container: --image, --volume and their kin do not go with --jobid; set SLURM_JOB_ID=7 instead",
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

    def test_none_does_not_save_the_batch_script(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "failed").write_text("no\n")
        refused(job_step(BATCH).say("message", "image", "none").play(), "spank-container: no")

    def test_failed_comes_before_ready(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "failed").write_text("no\n")
        refused(job_step().play(), "spank-container: no")

    def test_bounded(self, job_step: JobStep, state: Path) -> None:
        (container(state) / "failed").write_text("x" * 100_000)
        refused(job_step().play(), f"spank-container: {'x' * 8191}")

    @pytest.mark.parametrize("kind", ["empty", "folder", "link"])
    def test_lost(self, job_step: JobStep, state: Path, kind: str) -> None:
        failed = container(state) / "failed"
        if kind == "link":
            failed.symlink_to("/etc/passwd")
        elif kind == "folder":
            failed.mkdir()
        else:
            failed.touch()
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
        refused(job_step(BATCH).play(), sentence, sentence)


def test_timing(job_step: JobStep, tmp_path: Path) -> None:
    """One line a task, whatever became of it; only when plugstack.conf asks for it."""
    (tmp_path / "times").write_text("")
    outcome = job_step(4, requested=False).say("argument", f"timing={tmp_path}/times").say("tasks", 2).play()
    assert outcome.results("task_init_privileged") == [0, 0]
    lines = (tmp_path / "times").read_text().splitlines()
    assert [line.split()[:3] for line in lines] == [["7", "4", "0"], ["7", "4", "1"]]
    assert all(0 < float(line.split()[3]) < 1e6 for line in lines)

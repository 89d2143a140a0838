"""A step that joins its job's container: the same namespace behind a pin of its own, and nobody's death at its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kernel.miniature import in_container, isolated
from kernel.test_crash import die_in_child, dying_journal, start_waiting

from spank_container.errors import NodeError
from spank_container.executor.apply import apply
from spank_container.executor.undo import undo
from spank_container.plan.check import check_plan
from spank_container.plan.ops import JoinNamespace, MountPlan
from spank_container.state import Record

if TYPE_CHECKING:
    from kernel.miniature import Node

    from spank_container.state import ContainerDirectory

pytestmark = pytest.mark.kernel


def join(node: Node, step: int) -> ContainerDirectory:
    directory = node.state.job(7, step)
    plan = MountPlan((JoinNamespace(str(node.state.job(7).pin), str(directory.pin)),), (), ())
    check_plan(plan)
    directory.create(Record(0, plan))
    apply(plan, node.state, directory, "n1")
    return directory


@isolated
def test_the_step_has_the_jobs_own_namespace(node: Node) -> None:
    job = node.prolog(node.environment())
    step = join(node, 3)
    assert os.path.samestat(step.pin.stat(), job.pin.stat())
    in_container(job, "echo hello > /tmp/x")
    assert in_container(step, "cat /tmp/x") == "hello\n"


@isolated
def test_the_end_of_the_step_ends_no_other_steps_processes(node: Node) -> None:
    environment = node.environment()
    job = node.prolog(environment)
    step = join(node, 3)
    process = start_waiting("nsenter", f"--mount={step.pin}")
    undo(node.state, step)
    assert not step.exists()
    assert process.poll() is None
    assert in_container(job, "cat /etc/name") == "one"
    node.epilog(environment)
    assert process.wait(10) == -signal.SIGKILL
    node.wait_until_clean()


@isolated
def test_the_end_of_the_job_ends_the_step_too(node: Node) -> None:
    environment = node.environment()
    node.prolog(environment)
    join(node, 3)
    node.epilog(environment)
    node.wait_until_clean()


@isolated
@pytest.mark.parametrize("entries", [1, 2])
def test_a_kill_while_a_step_joins_costs_the_job_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    environment = node.environment()
    job = node.prolog(environment)
    with monkeypatch.context() as patch:
        dying_journal(patch, entries)
        assert die_in_child(lambda: join(node, 3)) == signal.SIGKILL
    undo(node.state, node.state.job(7, 3))
    assert in_container(job, "cat /etc/name") == "one"
    assert os.path.samestat(join(node, 3).pin.stat(), job.pin.stat())
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_a_job_without_a_container_cannot_be_joined(node: Node) -> None:
    node.state.prepare()
    with pytest.raises(NodeError) as caught:
        join(node, 3)
    pin = node.state.job(7).pin
    assert caught.value.report() == f"joining the job's container: nothing is pinned at {pin}"
    undo(node.state, node.state.job(7))
    assert not Path(pin).parent.exists()

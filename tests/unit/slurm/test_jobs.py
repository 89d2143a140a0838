"""Which jobs live. pyslurm fits one release of Slurm and is not on this machine, so a mock stands for it here;
Slurm's own commands are asked for real in tests/cluster."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from spank_container.errors import BusyError
from spank_container.slurm.jobs import live_jobs, node_name, parse_squeue

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@pytest.mark.parametrize(
    "state", ["RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"]
)
def test_a_job_that_holds_the_node_is_alive(state: str) -> None:
    assert parse_squeue(f"12 {state}\n") == {12}


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"])
def test_a_job_that_ended_is_dead(state: str) -> None:
    assert parse_squeue(f"12 {state}\n") == frozenset()


def test_a_state_that_a_later_release_invents_is_alive() -> None:
    assert parse_squeue("12 HIBERNATING\n13 COMPLETED\n") == {12}


@pytest.mark.parametrize("text", ["12\n", "12_3 RUNNING\n", "12 RUNNING extra\n", "slurm_load_jobs error: busy\n"])
def test_an_answer_that_is_not_understood_is_no_death(text: str) -> None:
    with pytest.raises(BusyError, match="squeue's answer was not understood"):
        parse_squeue(text)


def job(number: int, state: str, nodes: str | None) -> SimpleNamespace:
    return SimpleNamespace(id=number, state=state, allocated_nodes=nodes)


def test_pyslurm_answers_where_it_fits(mocker: MockerFixture) -> None:
    pyslurm = mocker.MagicMock()
    pyslurm.Jobs.load.return_value.values.return_value = [
        job(1, "RUNNING", "n[1-3]"),
        job(2, "COMPLETED", "n2"),
        job(3, "COMPLETING", "n2"),
        job(4, "RUNNING", "n20"),
        job(5, "PENDING", None),
    ]
    mocker.patch.dict(sys.modules, {"pyslurm": pyslurm})
    assert live_jobs("n2") == {1, 3}


def test_a_pyslurm_that_fails_is_passed_over(mocker: MockerFixture) -> None:
    pyslurm = mocker.MagicMock()
    pyslurm.Jobs.load.side_effect = RuntimeError("another release")
    mocker.patch.dict(sys.modules, {"pyslurm": pyslurm})
    asked = mocker.patch("spank_container.slurm.jobs.ask_slurm", return_value="7 RUNNING\n")
    assert live_jobs("n2") == {7}
    assert "--nodelist=n2" in asked.call_args.args[0]


def test_silence_is_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """No slurmctld is configured here, and maybe no squeue: either way nothing was said."""
    monkeypatch.setenv("SLURM_CONF", "/nonexistent/slurm.conf")
    with pytest.raises(BusyError, match="asking Slurm for the jobs of n1") as caught:
        live_jobs("n1")
    assert caught.value.hint == "is slurmctld up? try scontrol ping"


def test_slurmd_tells_hooks_the_nodes_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "nid000001")
    assert node_name() == "nid000001"

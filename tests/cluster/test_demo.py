"""`./dev demo` is what a newcomer sees first, so it has to be right, and to say so when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from machine import Machine
from rich.console import Console

from sandbox.demo import SCRIPT, Judge
from sandbox.releases import RELEASES

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("slurm", [release.slurm for release in RELEASES])
def test_the_demonstration_is_right_and_leaves_nothing(slurm: str) -> None:
    before = Machine.now()
    command = [sys.executable, "-m", "sandbox", "demo", "--slurm", slurm]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in SCRIPT.splitlines():
        assert line in done.stdout
    assert before.comes_back()


def test_a_wrong_fact_is_remembered_and_shown() -> None:
    judge = Judge(Console())
    assert judge.expect("mounts left on n1", 0, 0) == "0"
    assert judge.expect_match("uid", "2001", r"2\d+") == "2001"
    assert judge.wrong == []
    assert "not 0" in judge.expect("mounts left on n1", 1, 0)
    assert "not 2001" in judge.expect_match("uid", "0", "2001")
    assert judge.wrong == ["mounts left on n1 is 1, not 0", "uid is '0', not '2001'"]

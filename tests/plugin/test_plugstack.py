"""The arguments in plugstack.conf, and the contexts where the plugin stays quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import STEP_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugin.conftest import Command
    from plugin.slurm_player import Scenario

    Submission = Callable[..., Scenario]


class TestPlugstack:
    @pytest.mark.parametrize("argument", ["colour=red", "command=", "command=bin/x", "state=x", "timing=", "command"])
    def test_arguments(self, submission: Submission, argument: str) -> None:
        outcome = submission("sbatch").say("argument", argument).play()
        assert outcome.results("init") == [-1]
        assert outcome.errors == [
            f"spank-container: plugstack.conf has {argument}; use command=/PATH, state=/DIR or timing=/PATH"
        ]

    def test_an_option_that_slurm_refuses(self, submission: Submission) -> None:
        outcome = submission("sbatch").say("refuses_option", 1).play()
        assert outcome.results("init") == [-1]
        assert outcome.errors == ["spank-container: Slurm does not take the option --volume; is it another plugin's?"]

    @pytest.mark.parametrize("context", ["slurmd", "job_script"])
    def test_slurmd_and_its_scripts_are_left_alone(
        self, submission: Submission, command: Command, context: str
    ) -> None:
        outcome = submission(context).say("argument", "colour=red").say("variable", STEP_REQUEST, "kept").play()
        assert outcome.results("init") + outcome.results("init_post_opt") + outcome.results("exit") == [0, 0, 0]
        assert not outcome.errors
        assert outcome.environ[STEP_REQUEST] == "kept"
        assert not command.calls

"""The plugin's child, `COMMAND submit`: what it may print, how it may end, and what state it starts in."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import JSON, read_outcome, signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.conftest import Command
    from plugin.slurm_player import Scenario

    Submission = Callable[..., Scenario]


class TestRefusal:
    """Negative, and nothing handed to the job."""

    def refused(self, submission: Submission) -> list[str]:
        outcome = submission("sbatch", "image=a").play()
        assert outcome.results("init_post_opt") == [-1]
        assert not outcome.requests
        return outcome.errors

    def test_the_command_says_it_itself(self, submission: Submission, command: Command) -> None:
        command.does(f"echo '{JSON}'; exit 64")
        assert self.refused(submission) == []

    def test_its_words_reach_the_user(self, submission: Submission, command: Command, driver: Path) -> None:
        command.does("echo 'spank-container: no such image' >&2; exit 64")
        script, output = submission("sbatch", "image=a").write()
        done = subprocess.run([driver, script, output], capture_output=True, text=True, check=True)
        assert done.stderr == "spank-container: no such image\n"

    @pytest.mark.parametrize(
        "script",
        [
            "true",
            "echo",
            "echo not json",
            "echo '{x'",
            "echo '{'; echo '}'",
            "printf '}'",
            "printf '{'; head -c 65535 /dev/zero | tr '\\0' x; printf '}'",
        ],
    )
    def test_no_request_no_job(self, submission: Submission, command: Command, script: str) -> None:
        command.does(script)
        assert self.refused(submission) == [
            f"spank-container: {command.path} submit printed no request; the administrator must repair it"
        ]

    @pytest.mark.parametrize("begin", ["{", f"{JSON}\\nA="])
    def test_more_than_it_may_print(self, submission: Submission, command: Command, begin: str) -> None:
        """The plugin hangs up; whether that kills the command is a race, and the submission is refused either way."""
        command.does(f"printf '{begin}'; head -c 100000 /dev/zero | tr '\\0' x; echo '}}'")
        self.refused(submission)

    def test_a_command_that_is_not_there(self, submission: Submission, command: Command) -> None:
        command.path.unlink()
        assert self.refused(submission) == [
            f"spank-container: cannot run {command.path}: No such file or directory; the administrator must repair it"
        ]

    @pytest.mark.parametrize("script", ["kill -9 $$", "while :; do echo xxxxxxxxxxxxxxxx; done"])
    def test_a_command_that_is_killed(self, submission: Submission, command: Command, script: str) -> None:
        """The second one prints without end: the plugin hangs up after 64 KiB, and SIGPIPE ends it."""
        command.does(script)
        assert self.refused(submission) == [f"spank-container: {command.path} did not come to its own end; try again"]

    @pytest.mark.parametrize("lines", ["{}", "", "A", "=1", "A1=1", "a=1", "A B=1", "A=1\n\nB=2", "A=1\n\n"])
    def test_no_line_but_a_variable_s(self, submission: Submission, command: Command, lines: str) -> None:
        command.does(f"echo '{JSON}\n{lines}'")
        outcome = submission("sbatch", "image=a").play()
        assert outcome.results("init_post_opt") == [-1]
        assert outcome.errors == [
            f"spank-container: {command.path} submit printed more than a request; the administrator must repair it"
        ]

    def test_too_many_options(self, submission: Submission, command: Command) -> None:
        options = [f"volume=/x{number}:/y" for number in range(512)]
        outcome = submission("sbatch", "image=a", *options).play()
        assert outcome.results("option") == [-1]
        assert outcome.errors == [
            (
                "spank-container: more than 512 options for the container; join volumes with ';', "
                "or put variables into a file for --image-env-file"
            )
        ]
        assert not command.calls


def test_the_longest_request(submission: Submission, command: Command) -> None:
    command.does("printf '{'; head -c 65534 /dev/zero | tr '\\0' x; echo '}'")
    assert [len(request) for request in submission("sbatch", "image=a").play().requests] == [65536]


class TestTheCommandsProcess:
    """Whatever state sbatch was started in, the command starts in a sane one, and leaves no zombie."""

    PRINT = f"echo '{JSON}'"

    def test_descriptors(self, submission: Submission, command: Command, tmp_path: Path) -> None:
        command.does(f"exec ls -l /proc/self/fd > {tmp_path}/fds")
        submission("sbatch", "image=a").play()
        lines = [line.split() for line in (tmp_path / "fds").read_text().splitlines() if "->" in line]
        targets = {words[-3]: words[-1] for words in lines}
        assert targets["0"] == "/dev/null"
        assert targets["2"].startswith("pipe:")  # the test's own: standard error is inherited
        assert set(targets) == {"0", "1", "2", "3"}  # 3 is the folder that ls reads

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
    def test_closed_descriptors(self, submission: Submission, closed: str) -> None:
        outcome = submission("sbatch", "image=a").play("sh", "-c", f'exec "$@" {closed}', "sh")
        assert outcome.requests == [JSON]

    def test_ignored_signals(self, submission: Submission, command: Command) -> None:
        status = command.tells_its_signals()
        outcome = submission("sbatch", "image=a").play("env", "--ignore-signal=CHLD,INT,TERM,USR1")
        assert outcome.requests == [JSON]  # with SIGCHLD ignored, the command's own status would be lost
        assert signals(status)["SigIgn:"] == 0

    def test_interrupt_ends_both(self, submission: Submission, command: Command, driver: Path, tmp_path: Path) -> None:
        """Control-C goes to the whole group: neither a waiting sbatch nor a hanging command stays."""
        command.does(f"echo $$ > {tmp_path}/pid; exec sleep 600")
        script, output = submission("sbatch", "image=a").write()
        # A shell that runs the tests in the background has made the signal an ignored one.
        command_line = ["env", "--default-signal=INT", str(driver), str(script), str(output)]
        with subprocess.Popen(command_line, start_new_session=True) as process:
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(timeout=10) == -signal.SIGINT
        pid = (tmp_path / "pid").read_text().strip()
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:  # a zombie has none
            time.sleep(0.01)
        assert not os.path.exists(f"/proc/{pid}/exe")
        assert not read_outcome(output).requests

"""sbatch, salloc and srun: what becomes of the options before anything is queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import JOB_REQUEST, JSON, OPTION, STEP_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugin.conftest import Command
    from plugin.slurm_player import Scenario

    Submission = Callable[..., Scenario]

CONTEXTS = ["sbatch", "srun"]
NAMES = [
    "image",
    "volume",
    *(f"image_{name}" for name in ("writable", "env", "env_file", "clearenv", "workdir", "entrypoint")),
]
OPTION_VARIABLES = [f"{prefix}{OPTION}{name}" for prefix in ("", "SLURM_SPANK_") for name in NAMES]
OF_THE_JOB = [f"SLURM_SPANK_SHIFTER_{name}" for name in ("IMAGE", "IMAGEREQUEST", "IMAGETYPE")]


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_request_goes_to_the_job(submission: Submission, command: Command, context: str) -> None:
    outcome = submission(context, "image=debian:trixie").play()
    assert outcome.requests == [JSON]
    assert command.calls == [["submit", "--image=debian:trixie"]]
    assert outcome.calls == ["init", "init_post_opt", "exit"]
    assert outcome.results("init_post_opt") == [0]
    assert not outcome.errors
    assert STEP_REQUEST not in outcome.environ


def test_all_words_go_on_in_their_order(submission: Submission, command: Command) -> None:
    """Which of two wins is not decided here."""
    words = ["image=a", "volume=/x:/y:ro;/z:/z", "image-env=A=1", "image=b", "volume=/c d:/e", "image-env=A=2"]
    submission("sbatch", *words).play()
    assert command.calls == [["submit", *(f"--{word}" for word in words)]]


def test_the_same_words_twice_are_said_once_the_last_time(submission: Submission, command: Command) -> None:
    words = ["image=a", "volume=/x:/y", "volume=/x:/y", "image-workdir", "image=b", "volume=/x:/z", "image=a"]
    submission("sbatch", *words, "image-workdir=/x", "image-workdir").play()
    last = ["--volume=/x:/y", "--image=b", "--volume=/x:/z", "--image=a", "--image-workdir=/x", "--image-workdir"]
    assert command.calls == [["submit", *last]]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("image-writable", "--image-writable"),
        ("image-writable=10G", "--image-writable=10G"),
        ("image-writable=/mnt", "--image-writable=/mnt"),
        ("image-env=A=b=c", "--image-env=A=b=c"),
        ("image-env=", "--image-env="),
        ("image-env-file=vars", "--image-env-file=vars"),
        ("image-clearenv", "--image-clearenv"),
        ("image-workdir", "--image-workdir"),
        ("image-workdir=", "--image-workdir"),
        ("image-workdir=/x y", "--image-workdir=/x y"),
        ("image-entrypoint", "--image-entrypoint"),
        ("image-entrypoint=/bin/x", "--image-entrypoint=/bin/x"),
    ],
)
@pytest.mark.parametrize("context", CONTEXTS)
def test_each_option(submission: Submission, command: Command, context: str, said: str, word: str) -> None:
    assert submission(context, "image=a", said).play().requests == [JSON]
    assert command.calls == [["submit", "--image=a", word]]


def test_variables_for_the_job(submission: Submission, command: Command) -> None:
    command.does(f"printf '%s\\n' '{JSON}' SHIFTER_IMAGE=sha256:1 SHIFTER_IMAGEREQUEST=a=b SHIFTER_IMAGETYPE=")
    assert submission("sbatch", "image=a").play().job_control == {
        "CONTAINER_REQUEST": JSON,
        "SHIFTER_IMAGE": "sha256:1",
        "SHIFTER_IMAGEREQUEST": "a=b",
        "SHIFTER_IMAGETYPE": "",
    }


def test_words_reach_the_command_unread(submission: Submission, command: Command) -> None:
    """No shell, no splitting: what looks like an option or a command is a value."""
    submission("sbatch", "image=--step", "volume=$(touch x);`id` '\"*").play()
    assert command.calls == [["submit", "--image=--step", "--volume=$(touch x);`id` '\"*"]]


def test_no_word_stands_on_a_command_line(submission: Submission, command: Command, tmp_path: Path) -> None:
    """Everybody can read it in /proc, and a script's words may be for nobody's eyes (CVE-2020-27746)."""
    command.does(f"cat /proc/$$/cmdline > {tmp_path}/cmdline; echo '{JSON}'")
    scenario = submission("srun", "image=a", "image-env=TOKEN=secret", inside_job=True)
    scenario.environ |= {"SPANK_CONTAINER_WORDS": "9", "SPANK_CONTAINER_WORD_0": "x", "SPANK_CONTAINER_WORD_2": "y"}
    scenario.play()
    assert (tmp_path / "cmdline").read_bytes().split(b"\0")[2:-1] == [b"submit", b"-", b"--step"]
    assert command.calls == [["submit", "--image=a", "--image-env=TOKEN=secret", "--step"]]


def test_a_volume_alone_is_judged_too(submission: Submission, command: Command) -> None:
    submission("sbatch", "volume=/x:/y").play()
    assert command.calls == [["submit", "--volume=/x:/y"]]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("inside_job", [False, True])
def test_without_an_option_nothing_runs(
    submission: Submission, command: Command, context: str, *, inside_job: bool
) -> None:
    outcome = submission(context, inside_job=inside_job).play()
    assert outcome.results("init_post_opt") == [0]
    assert not command.calls
    assert not outcome.requests
    assert not outcome.errors


@pytest.mark.parametrize("context", CONTEXTS)
def test_none_asks_for_nothing(submission: Submission, command: Command, context: str) -> None:
    outcome = submission(context, "image=a", "image=none").play()
    assert outcome.results("init_post_opt") == [0]
    assert not command.calls
    assert not outcome.requests


def test_none_wins_over_volumes(submission: Submission, command: Command) -> None:
    """`sbatch --image=none` runs a script on the host that has an image and volumes in its #SBATCH lines."""
    outcome = submission("sbatch", "image=a", "volume=/x:/y", "image=none").play()
    assert outcome.results("init_post_opt") == [0]
    assert not command.calls
    assert not outcome.requests


def test_the_command_gets_the_users_environment(submission: Submission, command: Command) -> None:
    submission("sbatch", "image=a").say("variable", "MY_SLURM", "x y").play()
    assert command.environment["MY_SLURM"] == "x y"
    assert "PATH" in command.environment


class TestInsideAJob:
    """Slurm puts the job's options before each command in it; only what is typed there counts."""

    def test_a_step_inherits_without_a_word(self, submission: Submission, command: Command) -> None:
        scenario = submission("srun", inside_job=True)
        for name in OPTION_VARIABLES:
            scenario.say("variable", name, "/a:/b")
        for name in (*OF_THE_JOB, JOB_REQUEST):
            scenario.say("variable", name, JSON)
        outcome = scenario.play()
        assert outcome.results("init_post_opt") == [0]
        assert not command.calls
        assert not set(OPTION_VARIABLES) & outcome.environ.keys()
        assert outcome.environ[JOB_REQUEST] == JSON  # the node must see that an image was asked for
        assert set(OF_THE_JOB) <= outcome.environ.keys()  # what scripts of Shifter's users read

    def test_a_step_may_ask_for_its_own(self, submission: Submission, command: Command) -> None:
        outcome = submission("srun", "image=other", "volume=/x:/y", inside_job=True).play()
        assert command.calls == [["submit", "--image=other", "--volume=/x:/y", "--step"]]
        assert outcome.environ[STEP_REQUEST] == JSON
        assert not outcome.requests

    def test_a_step_may_say_something_of_its_tasks_alone(self, submission: Submission, command: Command) -> None:
        outcome = submission("srun", "image-env=A=1", "image-clearenv", inside_job=True).play()
        assert command.calls == [["submit", "--image-env=A=1", "--image-clearenv", "--step"]]
        assert outcome.environ[STEP_REQUEST] == JSON

    def test_the_jobs_volumes_do_not_slip_into_the_steps(self, submission: Submission, command: Command) -> None:
        scenario = submission("srun", "volume=/x:/y", inside_job=True)
        for name in OPTION_VARIABLES:
            scenario.say("variable", name, "/a:/b")
        scenario.play()
        assert command.calls == [["submit", "--volume=/x:/y", "--step"]]

    def test_a_step_may_go_to_the_host(self, submission: Submission, command: Command) -> None:
        outcome = submission("srun", "image=none", inside_job=True).play()
        assert not command.calls
        assert STEP_REQUEST not in outcome.environ
        assert outcome.environ[f"{OPTION}image"] == "none"  # Slurm's own, for the node

    def test_a_request_of_an_outer_step_is_not_inherited(self, submission: Submission) -> None:
        outcome = submission("srun", inside_job=True).say("variable", STEP_REQUEST, JSON).play()
        assert STEP_REQUEST not in outcome.environ

    def test_sbatch_there_is_a_job_of_its_own(self, submission: Submission, command: Command) -> None:
        scenario = submission("sbatch", inside_job=True)
        for name in (*OPTION_VARIABLES, *OF_THE_JOB, JOB_REQUEST, STEP_REQUEST):
            scenario.say("variable", name, "left over")
        outcome = scenario.play()
        assert outcome.results("init_post_opt") == [0]
        assert not command.calls
        assert outcome.environ.keys() == {"SLURM_JOB_ID"}


def test_outside_a_job_the_variables_are_the_users_words(submission: Submission, command: Command) -> None:
    """spank(8): environment variables are processed before the command line."""
    scenario = submission("sbatch", "volume=/x:/y")
    scenario.say("variable", f"SLURM_SPANK_{OPTION}image", "a").say("variable", f"SLURM_SPANK_{OPTION}volume", "/x:/y")
    scenario.play()
    assert command.calls == [["submit", "--image=a", "--volume=/x:/y"]]


@pytest.mark.parametrize("value", ["", "(null)"])
def test_a_variable_of_an_option_without_a_value(submission: Submission, command: Command, value: str) -> None:
    """Slurm writes either: plugstack.c of 22.05, _option_setenv()."""
    scenario = submission("sbatch", "image=a")
    for name in ("image_clearenv", "image_workdir"):
        scenario.say("variable", f"SLURM_SPANK_{OPTION}{name}", value)
    scenario.play()
    assert command.calls == [["submit", "--image-clearenv", "--image-workdir", "--image=a"]]


class TestHeterogeneousJobs:
    """Slurm calls init_post_opt for each part, and forgets no option in between."""

    def test_each_part_gets_its_request(self, submission: Submission, command: Command) -> None:
        scenario = submission("sbatch", "image=a", "volume=/x:/y")
        scenario.say("part").say("option", "image", "b").say("option", "volume", "/z:/z")
        assert scenario.play().requests == [JSON, JSON]
        assert command.calls == [
            ["submit", "--image=a", "--volume=/x:/y"],
            ["submit", "--image=b", "--volume=/z:/z"],
        ]

    def test_a_part_inherits_what_it_does_not_say(self, submission: Submission, command: Command) -> None:
        scenario = submission("sbatch", "image=a", "volume=/x:/y").say("part").say("option", "image", "b")
        scenario.play()
        assert command.calls[1] == ["submit", "--volume=/x:/y", "--image=b"]

    def test_only_the_first_parts_may_have_none(self, submission: Submission) -> None:
        """On the node, a part's steps have the variables of the first part: they would say that the Prolog failed."""
        scenario = submission("sbatch", "image=none").say("part").say("option", "image", "a")
        outcome = scenario.say("part").say("option", "image", "none").play()
        assert outcome.results("init_post_opt") == [0, 0, -1]
        assert outcome.requests == [JSON]
        assert outcome.errors == [
            "spank-container: --image=none cannot follow a part with an image; give it to the srun of this part"
        ]

    @pytest.mark.parametrize("where", ["script_option", "option"])
    def test_a_part_is_not_given_the_last_words_of_the_part_before(
        self, submission: Submission, command: Command, where: str
    ) -> None:
        """Slurm reads them again from the variables that it makes of them, after those of the script."""
        scenario = submission("sbatch", "image=a", "volume=/a:/a", "volume=/b:/b").say("part")
        scenario.say(where, "image", "b").say(where, "volume", "/c:/c")
        scenario.say("part").say(where, "image", "a")
        assert scenario.play().results("init_post_opt") == [0, 0, 0]
        assert command.calls == [
            ["submit", "--image=a", "--volume=/a:/a", "--volume=/b:/b"],
            ["submit", "--image=b", "--volume=/c:/c"],
            ["submit", "--volume=/c:/c", "--image=a"],
        ]

    @pytest.mark.parametrize("where", ["script_option", "option"])
    def test_a_part_may_say_the_same_as_the_part_before(
        self, submission: Submission, command: Command, where: str
    ) -> None:
        scenario = submission("sbatch", "image=a", "volume=/a:/a", "volume=/b:/b").say("part")
        scenario.say(where, "image", "a").say(where, "volume", "/b:/b")
        scenario.play()
        assert command.calls[1] == ["submit", "--image=a", "--volume=/b:/b"]

    def test_a_part_says_each_option_anew_or_not_at_all(self, submission: Submission, command: Command) -> None:
        """Those without a value as well, which Slurm reads again as (null)."""
        words = ["image=a", "image-env=A=1", "image-env=B=2", "image-clearenv", "image-workdir=/x", "image-workdir"]
        scenario = submission("sbatch", *words).say("part").say("option", "image-env", "C=3")
        scenario.say("part").say("option", "image-workdir", "/y")
        scenario.play()
        said = [f"--{word}" for word in words]
        rest = ["--image=a", *said[3:]]
        assert command.calls == [
            ["submit", *said],
            ["submit", *rest, "--image-env=C=3"],
            ["submit", *rest[:2], "--image-env=C=3", "--image-workdir=/y"],
        ]

    def test_a_part_that_says_nothing_inherits_all(self, submission: Submission, command: Command) -> None:
        submission("sbatch", "image=a", "volume=/a:/a", "volume=/b:/b").say("part").play()
        assert command.calls[0] == command.calls[1]

    def test_the_same_words_read_again_are_the_same_words(self, submission: Submission, command: Command) -> None:
        """`srun --het-group=0,1` reads its command line once for each group."""
        scenario = submission("srun", "image=a", "volume=/x:/y", "volume=/z:/z").say("part")
        for words in (("image", "a"), ("volume", "/x:/y"), ("volume", "/z:/z")):
            scenario.say("option", *words)
        assert scenario.play().results("init_post_opt") == [0, 0]
        assert command.calls[0] == command.calls[1]

    @pytest.mark.parametrize("inside_job", [False, True])
    @pytest.mark.parametrize(("first", "second"), [("", "image=a"), ("image=a", "image=none"), ("", "image=none")])
    def test_the_parts_of_one_srun_agree(
        self, submission: Submission, first: str, second: str, *, inside_job: bool
    ) -> None:
        """Slurm sends the last part's option to all of them: with `none` the first would run on the host."""
        scenario = submission("srun", *filter(None, [first]), inside_job=inside_job)
        outcome = scenario.say("part").say("option", *second.split("=")).play()
        assert outcome.results("init_post_opt") == [0, -1]
        assert outcome.errors == [
            "spank-container: the parts of one srun cannot differ in --image, --volume and their kin; start an srun for each"
        ]

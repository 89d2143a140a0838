"""The two `shifter`: the host's script, and the container's program; srun is a script that writes down what it gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spank_container import __version__
from spank_container.install.compile import compile_shifter
from spank_container.values.variables import PROTECTED

SUPPORT = Path(__file__).parents[2] / "spank_container/support"
JOB = {"SLURM_JOB_ID": "1", "SLURM_SPANK_CONTAINER_REQUEST": "{}"}
INSIDE = "/opt/spank-container/bin/shifter"
SRUN = f"""#!{sys.executable}
import json, os, sys
print(json.dumps({{"argv": sys.argv[1:], "env": sorted(os.environ), "stdin": sys.stdin.read()}}))
sys.exit(7)
"""
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run(program: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        env={"PATH": os.defpath, "ASAN_OPTIONS": "detect_leaks=0", **environment},  # it executes, or ends
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], message: str, hint: str) -> None:
    assert done.stderr == f"spank-container: shifter: {message}\nhint: {hint}\n"
    assert (done.stdout, done.returncode) == ("", 1)


class TestOnTheHost:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        (tmp_path / "srun").write_text(SRUN)
        (tmp_path / "srun").chmod(0o755)
        return f"{tmp_path}:/usr/bin:/bin"

    def shifter(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return run(SUPPORT / "host/bin/shifter", *arguments, stdin=stdin, **environment)

    def given(self, path: str, *arguments: str) -> list[str]:
        """What srun is given, less what it is given always."""
        done = self.shifter(*arguments, PATH=path, **JOB)
        words: list[str] = json.loads(done.stdout)["argv"]
        return words[words.index("--relative=0") + 1 :]

    def test_the_command_gets_this_node_and_srun_s_status(self, path: str) -> None:
        environment = {"PATH": path, **JOB, "SLURMD_NODENAME": "n2"}
        done = self.shifter("app", "a b", "--flag", stdin="text", **environment)
        srun = json.loads(done.stdout)
        assert srun["argv"][-5:] == ["--nodelist=n2", INSIDE, "app", "a b", "--flag"]
        flags = ["--quiet", "--ntasks=1", "--nodes=1", "--overlap", "--cpu-bind=none", "--quit-on-interrupt"]
        assert srun["argv"][:-5] == flags
        assert srun["stdin"] == "text"
        assert done.returncode == 7

    def test_in_salloc_s_shell_the_first_node_serves(self, path: str) -> None:
        srun = json.loads(self.shifter("app", PATH=path, **JOB).stdout)
        assert srun["argv"][-3:] == ["--relative=0", INSIDE, "app"]

    def test_the_job_s_layout_does_not_reach_srun(self, path: str) -> None:
        layout = {
            "SLURM_NTASKS": "8",
            "SLURM_CPUS_PER_TASK": "2",
            "SLURM_TRES_PER_TASK": "cpu=2",
            "SLURM_DISTRIBUTION": "x",
            "SLURM_NTASKS_PER_NODE": "4",
            "SLURM_JOB_NUM_NODES": "2",
        }
        done = self.shifter("app", PATH=path, **JOB, **layout)
        seen = json.loads(done.stdout)["env"]
        assert [name for name in seen if name.startswith("SLURM_")] == [
            "SLURM_JOB_ID",
            "SLURM_JOB_NUM_NODES",
            "SLURM_SPANK_CONTAINER_REQUEST",
        ]

    @pytest.mark.parametrize(
        ("words", "given"),
        [
            ([], [INSIDE]),
            (["--"], [INSIDE, "--"]),
            (["--", "-e", "x"], [INSIDE, "--", "-e", "x"]),
            (["app", "--image=a", "-e", "--"], [INSIDE, "app", "--image=a", "-e", "--"]),
            (["-i", "a b", "app"], ["--image=a b", INSIDE, "app"]),
            (["-ia", "app"], ["--image=a", INSIDE, "app"]),
            (["--image", "a", "app"], ["--image=a", INSIDE, "app"]),
            (
                ["--image=docker:alpine", "--volume=/a:/b", "cat", "-n"],
                ["--image=docker:alpine", "--volume=/a:/b", INSIDE, "cat", "-n"],
            ),
            (["-V", "/it's:/b;/c:/d", "-V/e:/f", "x"], ["--volume=/it's:/b;/c:/d", "--volume=/e:/f", INSIDE, "x"]),
            (["--image=a\n", "x"], ["--image=a\n", INSIDE, "x"]),
            (["--image=$(id)`id`\\", "x"], ["--image=$(id)`id`\\", INSIDE, "x"]),
            (["--env-file", "f", "--env-file=g", "x"], ["--image-env-file=f", "--image-env-file=g", INSIDE, "x"]),
            (["-e", "A=b c", "app", "x y"], [INSIDE, "-e", "A=b c", "app", "x y"]),
            (["-eA=1", "--env=B=2", "--env", "C=3", "x"], [INSIDE, "-eA=1", "--env=B=2", "--env", "C=3", "x"]),
            (["-E", "-w", "-n", "-v", "x"], [INSIDE, "-E", "-w", "-n", "-v", "x"]),
            (["-w/x", "--workdir", "--workdir=/y", "x"], [INSIDE, "-w/x", "--workdir", "--workdir=/y", "x"]),
            (["--entry", "--entrypoint=/x"], [INSIDE, "--entry", "--entrypoint=/x"]),
            (["-m", "mpich", "--module=x", "--clearenv"], [INSIDE, "-m", "mpich", "--module=x", "--clearenv"]),
            (["--entry", "-i", "a", "-E", "x", "y"], ["--image=a", INSIDE, "--entry", "-E", "x", "y"]),
        ],
        ids=str,
    )
    def test_options(self, path: str, words: list[str], given: list[str]) -> None:
        assert self.given(path, *words) == given

    @pytest.mark.parametrize("words", [["app"], ["--volume=/x/ '--image=y:/z", "app"], ["app", "--image=a"]])
    def test_a_job_without_an_image(self, path: str, words: list[str]) -> None:
        """It would start itself, on the host."""
        done = self.shifter(*words, PATH=path, SLURM_JOB_ID="1")
        refused(done, "this job has no image", "sbatch --image=IMAGE job.sh, or shifter --image=IMAGE CMD")

    def test_an_image_for_a_job_without_one(self, path: str) -> None:
        done = self.shifter("-E", "-i", "a", "app", PATH=path, SLURM_JOB_ID="1")
        assert json.loads(done.stdout)["argv"][-4:] == ["--image=a", INSIDE, "-E", "app"]

    def test_help(self) -> None:
        done = self.shifter("-E", "--help", "--bogus")
        assert done.stdout.startswith("usage: shifter [OPTION...] [CMD [ARGUMENT...]]\n")
        assert (done.stderr, done.returncode) == ("", 0)

    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            (["app"], "this is not a job", "sbatch --image=IMAGE job.sh, or srun --image=IMAGE CMD"),
            ([], "this is not a job", "sbatch --image=IMAGE job.sh, or srun --image=IMAGE CMD"),
            (["--bogus", "app"], "there is no option --bogus", "shifter --help"),
            (["-x"], "there is no option -x", "shifter --help"),
            (["--environment=x"], "there is no option --environment=x", "shifter --help"),
            (["-E", "-V"], "-V needs a value", "shifter --help"),
            (["--env"], "--env needs a value", "shifter --help"),
        ],
    )
    def test_a_refusal_says_what_to_do(self, arguments: list[str], message: str, hint: str) -> None:
        refused(self.shifter(*arguments), message, hint)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("container")


@pytest.fixture(scope="module")
def program(folder: Path) -> Path:
    sources = sorted((SUPPORT / "container").glob("*.c"))
    kept = ",".join(json.dumps(beginning) for beginning in PROTECTED)
    defined = [f"-DKEPT={kept}", '-DVERSION="1.2"', f'-DFILES="{folder}/"']
    subprocess.run(["gcc", *WARNINGS, "-g", *defined, "-o", folder / "shifter", *sources], check=True)
    return folder / "shifter"


class TestInTheContainer:
    """Compiled with sanitizers, and with another folder for what the Prolog writes."""

    @pytest.fixture(autouse=True)
    def _image(self, folder: Path) -> None:
        """Of the table in Shifter's own test_shifter_core.cpp."""
        (folder / "entrypoint").write_text("echo\0howdy\0")
        (folder / "cmd").write_text("guys\0")
        (folder / "workdir").write_text("/usr\n")
        (folder / "variables").write_text(f"PATH={os.defpath}\0IMAGE_SAYS=a=b\0")

    def test_the_command_is_executed(self, program: Path) -> None:
        done = run(program, "/bin/sh", "-c", 'echo "$0 $1"; exit 3', "a b", "-x")
        assert (done.stdout, done.stderr, done.returncode) == ("a b -x\n", "", 3)

    @pytest.mark.parametrize("shell", ["/nonexistent/zsh", "", "/etc/passwd"])
    def test_a_shell_that_is_not_there_becomes_sh(self, program: Path, shell: str) -> None:
        done = run(program, stdin="echo $0", SHELL=shell)
        assert (done.stdout, done.returncode) == ("/bin/sh\n", 0)

    def test_the_user_s_shell(self, program: Path) -> None:
        assert run(program, stdin="echo $0", SHELL="/bin/bash").stdout == "/bin/bash\n"

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (["nothing-of-that-name"], 127, "shifter: nothing-of-that-name: No such file or directory\n"),
            (["/etc/passwd"], 126, "shifter: /etc/passwd: Permission denied\n"),
            (["/"], 126, "shifter: /: Permission denied\n"),
            (["/etc/passwd/x"], 127, "shifter: /etc/passwd/x: Not a directory\n"),
            ([""], 127, "shifter: : No such file or directory\n"),
        ],
    )
    def test_what_cannot_be_executed(self, program: Path, words: list[str], status: int, text: str) -> None:
        done = run(program, *words)
        assert (done.stdout, done.stderr, done.returncode) == ("", text, status)

    @pytest.mark.parametrize(
        ("words", "printed"),
        [
            (["--entry"], "howdy guys\n"),
            (["--entrypoint", "you"], "howdy you\n"),
            (["--entry", "--", "-x"], "howdy -x\n"),
            (["--entry=echo"], "\n"),
            (["--entrypoint=echo", "you"], "you\n"),
            (["echo", "you"], "you\n"),
        ],
    )
    def test_the_entrypoint(self, program: Path, words: list[str], printed: str) -> None:
        done = run(program, *words)
        assert (done.stdout, done.returncode) == (printed, 0)

    @pytest.mark.parametrize("there", [False, True])
    def test_an_image_that_says_nothing(self, program: Path, folder: Path, *, there: bool) -> None:
        """Whether the files are empty, as the Prolog writes them, or not there."""
        for name in ("entrypoint", "cmd", "workdir"):
            (folder / name).write_text("") if there else (folder / name).unlink()
        refused(
            run(program, "--entry", "x"),
            "Image does not have a defined entrypoint.",
            "name one: --entrypoint=PROGRAM",
        )
        refused(
            run(program, "-w", "x"),
            "No workdir specified on command line or in image definition.",
            "name one: --workdir=DIR",
        )

    @pytest.mark.parametrize(
        ("option", "place"), [("-w", "/usr"), ("--workdir", "/usr"), ("-w/etc", "/etc"), ("--workdir=/", "/")]
    )
    def test_the_folder(self, program: Path, option: str, place: str) -> None:
        assert run(program, option, "pwd").stdout == f"{place}\n"

    def test_a_folder_that_is_not_there(self, program: Path) -> None:
        refused(run(program, "-w/nowhere", "pwd"), "--workdir: /nowhere: No such file or directory", "name another")

    def test_variables(self, program: Path, folder: Path) -> None:
        """--env counts before the files, wherever it stands; of two the last."""
        (folder / "mine").write_text('# a comment\n\n  A=file \t\nB="quoted"\r\n\t#C=1\nC=\nD=a=b\n')
        done = run(program, "-e", "A=typed", f"--env-file={folder}/mine", "--env=E=1", "-eE=2", "env", F="kept")
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
        wanted = {"A": "typed", "B": '"quoted"', "C": "", "D": "a=b", "E": "2", "F": "kept"}
        assert {name: seen[name] for name in "ABCDEF"} == wanted

    def test_blanks_at_the_end_of_a_line_are_the_value_s(self, program: Path, folder: Path) -> None:
        (folder / "mine").write_text("A=1 ")
        done = run(program, "--env-file", f"{folder}/mine", "sh", "-c", 'printf "<%s>" "$A"')
        assert done.stdout == "<1 >"

    def test_cleared(self, program: Path) -> None:
        """What Slurm, MPI and the choice of GPUs say stays; the image's own comes back."""
        protected = {f"{beginning}X": "1" for beginning in PROTECTED}
        done = run(program, "-E", "-e", "MINE=1", "env", OTHER="1", HOME="/root", **protected)
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
        assert seen == {**protected, "PATH": os.defpath, "IMAGE_SAYS": "a=b", "MINE": "1"}

    @pytest.mark.parametrize(
        ("setting", "message", "hint"),
        [
            ("A", "this sets no variable: A", "write NAME=VALUE; a name has letters, digits and _"),
            ("A B=secret", "this sets no variable: A B", "write NAME=VALUE; a name has letters, digits and _"),
            ("", "this sets no variable: ", "write NAME=VALUE; a name has letters, digits and _"),
            ("=secret", "this is no name: ", "letters, digits and _, and no digit at the beginning"),
            ("1A=secret", "this is no name: 1A", "letters, digits and _, and no digit at the beginning"),
            ("SLURM_JOB_ID=7", "SLURM_JOB_ID is not for you to set", "leave it out"),
            ("PMIX_RANK=7", "PMIX_RANK is not for you to set", "leave it out"),
        ],
    )
    @pytest.mark.parametrize("in_file", [False, True])
    def test_what_sets_no_variable(
        self, program: Path, folder: Path, setting: str, message: str, hint: str, *, in_file: bool
    ) -> None:
        if in_file and not setting:
            return  # a blank line
        (folder / "mine").write_text(f"OK=1\n{setting}\n")
        where = f"--env-file: {folder}/mine, line 2" if in_file else "--env"
        option = f"--env-file={folder}/mine" if in_file else f"--env={setting}"
        refused(run(program, option, "true"), f"{where}: {message}", hint)

    def test_files_that_cannot_be_read(self, program: Path) -> None:
        refused(
            run(program, "--env-file=/nowhere", "true"),
            "--env-file: /nowhere: No such file or directory",
            "name a file that the container has",
        )
        refused(
            run(program, "--env-file=/etc", "true"),
            "--env-file: /etc: Is a directory",
            "name a file that can be read",
        )

    @pytest.mark.parametrize("word", ["-i", "-ix", "--image=x", "--image", "-V", "--volume=/a:/b"])
    def test_what_only_slurms_commands_can_do(self, program: Path, word: str) -> None:
        refused(
            run(program, word, "x"),
            f"{word}: this is the container already",
            "give --image and --volume to sbatch, salloc or srun",
        )

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--bogus", "app"], "there is no option --bogus in the container"),
            (["-n", "-x"], "there is no option -x in the container"),
            (["--clearenv=x"], "there is no option --clearenv=x in the container"),
            (["-E", "--env"], "--env needs a value"),
            (["-m"], "-m needs a value"),
        ],
    )
    def test_what_is_no_option(self, program: Path, words: list[str], message: str) -> None:
        refused(run(program, *words), message, "shifter --help")

    def test_what_does_nothing(self, program: Path) -> None:
        done = run(program, "-m", "mpich", "-n", "-v", "--verbose", "--module=none", "echo", "-n")
        assert (done.stdout, done.returncode) == ("", 0)
        assert done.stderr == "".join(
            f"shifter: --module={name} does nothing: the site decides what is added to the container\n"
            for name in ("mpich", "none")
        )

    def test_help_and_version(self, program: Path) -> None:
        assert run(program, "-h").stdout.startswith("usage: shifter [OPTION...] [CMD [ARGUMENT...]]\n")
        assert run(program, "--version", "--bogus").stdout == "shifter of spank-container 1.2\n"

    @pytest.mark.parametrize(
        ("listed", "words", "printed"),
        [
            ("4:echo", [], "\n"),
            ("4:echo3:a b0:2:-e", ["--image=x", "-h"], "a b  -e --image=x -h\n"),
            ("2:sh2:-c33:echo ${SPANK_CONTAINER_ARGV-none}", [], "none\n"),
        ],
    )
    def test_in_the_place_of_a_command(self, program: Path, listed: str, words: list[str], printed: str) -> None:
        """As the plugin lets it be executed before Slurm 23.11; nothing of it is an option of ours."""
        done = run(program, *words, SPANK_CONTAINER_ARGV=listed)
        assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)

    @pytest.mark.parametrize("listed", ["", "x", "4echo", "5:echo", "99999999999999999999:x", "-1:x", "4:echo3"])
    def test_a_list_that_is_none(self, program: Path, listed: str) -> None:
        done = run(program, "x", SPANK_CONTAINER_ARGV=listed)
        refused(done, "SPANK_CONTAINER_ARGV is malformed", "only the plugin sets it")


def test_as_it_is_installed_it_needs_nothing_of_an_image(tmp_path: Path) -> None:
    program = tmp_path / "shifter"
    program.write_bytes(compile_shifter())
    program.chmod(0o755)
    headers = subprocess.run(["readelf", "--program-headers", program], capture_output=True, text=True, check=True)
    assert "INTERP" not in headers.stdout
    assert run(program, "--version").stdout == f"shifter of spank-container {__version__}\n"
    assert run(program, "-E", "-e", "A=1", "env", SLURM_X="1", HOME="/").stdout == "SLURM_X=1\nA=1\n"

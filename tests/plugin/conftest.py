"""The plugin under the sanitizers, linked with the driver; a command of the test's own stands for spank-container."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from plugin.slurm_player import HERE, JSON, SOURCES, WARNINGS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable


def _compiled(source: str, folder: Path, *flags: str) -> Path:
    """`source` and the plugin in one program, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    program = folder / Path(source).stem
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    files = [f"-I{HERE}/stub", "-o", str(program), str(HERE / source), *map(str, SOURCES)]
    subprocess.run(["gcc", *WARNINGS, *flags, "-g", "-O1", *sanitizers, *files], check=True)
    return program


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compiled("driver.c", tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="session")
def driver_22_05(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a Slurm before 23.11 gets it, whose command of a task cannot grow."""
    return _compiled("driver.c", tmp_path_factory.mktemp("plugin"), "-DSLURM_VERSION_NUMBER=0x160508")


@pytest.fixture(scope="session")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compiled("fuzz.c", tmp_path_factory.mktemp("plugin"))


# `submit - --step`: the words, which stand in the environment, in the place of the dash.
WORDS = """\
if [ "$2" = - ]; then
    shift 2
    set -- "$@" end
    number=0
    while [ $number -lt $SPANK_CONTAINER_WORDS ]; do
        eval 'set -- "$@" "$SPANK_CONTAINER_WORD_'$number'"'
        number=$((number + 1))
    done
    while [ "$1" != end ]; do set -- "$@" "$1"; shift; done
    shift
    set -- submit "$@"
fi
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A shell script in the place of spank-container; every run adds its arguments to `calls`, for `-` the words."""

    path: Path

    @property
    def calls(self) -> list[list[str]]:
        log = self.path.parent / "calls"
        if not log.exists():
            return []
        return [call.split("\0")[:-1] for call in log.read_text().split("\n\0")[:-1]]

    @property
    def environment(self) -> dict[str, str]:
        """Of the last run."""
        records = (self.path.parent / "environment").read_text().split("\0")[:-1]
        return dict(record.split("=", 1) for record in records)

    def does(self, script: str) -> None:
        log = self.path.parent / "calls"
        self.path.write_text(
            "#!/bin/sh\n"
            f"cat /proc/$$/environ > {self.path.parent}/environment\n"
            f"{WORDS}"
            f'for argument; do printf "%s\\0" "$argument" >> {log}; done\n'
            f'printf "\\n\\0" >> {log}\n'
            f"{script}\n"
        )
        self.path.chmod(0o755)

    def tells_its_signals(self) -> Path:
        """Write /proc/self/status there. Not a shell, which would have unblocked its signals by then."""
        told = self.path.parent / "status"
        self.path.write_text(
            f"#!{sys.executable} -IS\n"
            f"text = open('/proc/self/status').read()\nopen({str(told)!r}, 'w').write(text)\nprint({JSON!r})\n"
        )
        return told


@pytest.fixture
def command(tmp_path: Path) -> Command:
    made = Command(tmp_path / "command")
    made.does(f"echo '{JSON}'")
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a node that prepared nothing yet."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    (path / "jobs").mkdir()
    return path


@pytest.fixture
def submission(driver: Path, command: Command, tmp_path: Path) -> Callable[..., Scenario]:
    """sbatch (and salloc: the same context) or srun, with `options` on its command line, as NAME=VALUE."""

    def make(context: str, *options: str, inside_job: bool = False) -> Scenario:
        scenario = Scenario(driver, tmp_path).say("context", context).say("argument", f"command={command.path}")
        if inside_job:
            scenario.say("variable", "SLURM_JOB_ID", 7)
        for option in options:
            scenario.say("option", *option.split("=", 1))
        return scenario

    return make


@pytest.fixture
def job_step(driver: Path, command: Command, state: Path, tmp_path: Path) -> Callable[..., Scenario]:
    """slurmstepd with one task of job 7; `requested` as in a job that was submitted with --image."""

    def make(step: int = 1, *, requested: bool = True) -> Scenario:
        scenario = Scenario(driver, tmp_path).say("context", "slurmstepd").say("job", 7).say("step", step)
        scenario.say("argument", f"command={command.path}").say("argument", f"state={state}")
        return scenario.say("job_variable", "SLURM_SPANK_CONTAINER_REQUEST", JSON) if requested else scenario

    return make

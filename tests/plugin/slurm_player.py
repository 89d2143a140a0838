"""Scenarios for driver.c, which plays Slurm around the plugin, and what came of them.

Owns the words of the driver's script, and the two usual verdicts: refused, or on the host.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "spank_container" / "plugin"
SOURCES = sorted(PLUGIN.glob("*.c"))
HERE = Path(__file__).parent
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
OPTION = "_SLURM_SPANK_OPTION_spank_container_"
JOB_REQUEST = "SLURM_SPANK_CONTAINER_REQUEST"
STEP_REQUEST = "SLURM_SPANK_CONTAINER_STEP_REQUEST"
JSON = '{"digest":"sha256:1","image":"docker:debian:trixie","version":1,"volumes":[]}'
NODE = "; the administrator must look at this node"
NO_NAMESPACE = f"spank-container: cannot open the container's namespace: No such file or directory{NODE}"
BATCH, INTERACTIVE, EXTERN = 0xFFFFFFFB, 0xFFFFFFFA, 0xFFFFFFFC


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the driver said, in order."""

    events: list[dict[str, object]]

    def results(self, call: str) -> list[int]:
        """What `call` returned, each time."""
        return [int(str(event["rc"])) for event in self.events if event.get("call") == call]

    @property
    def calls(self) -> list[str]:
        return [str(event["call"]) for event in self.events if "call" in event]

    @property
    def errors(self) -> list[str]:
        return [str(event["error"]) for event in self.events if "error" in event]

    @property
    def requests(self) -> list[str]:
        """What the job's SPANK environment got."""
        return [str(event["value"]) for event in self.events if event.get("job_control") == "CONTAINER_REQUEST"]

    @property
    def job_control(self) -> dict[str, str]:
        """All that spank_job_control_setenv was told."""
        wanted = [event for event in self.events if "job_control" in event]
        return {str(event["job_control"]): str(event["value"]) for event in wanted}

    @property
    def words(self) -> list[str]:
        """What the task would execute."""
        return [str(event["word"]) for event in self.events if "word" in event]

    @property
    def folder(self) -> str:
        """Where it would begin."""
        return str(next(event["folder"] for event in self.events if "folder" in event))

    @property
    def launched(self) -> str:
        """What the container's shifter is told to execute, before Slurm 23.11."""
        return str(next(event["launched"] for event in self.events if "launched" in event))

    @property
    def environ(self) -> dict[str, str]:
        """Slurm's variables in the environment of the command, at its end."""
        return self._mapping("environ")

    @property
    def task_environment(self) -> dict[str, str]:
        return self._mapping("task_environment")

    def _mapping(self, key: str) -> dict[str, str]:
        found = next((event[key] for event in reversed(self.events) if key in event), {})
        assert isinstance(found, dict)
        return found

    @property
    def exits(self) -> list[object]:
        """How each task ended."""
        return [event["exit"] for event in self.events if "task" in event]

    @property
    def probes(self) -> dict[str, bool]:
        return {str(event["probe"]): event["there"] is True for event in self.events if "probe" in event}

    @property
    def leaked_descriptors(self) -> list[int]:
        """How many more each task has afterwards; it lets go of the container's directory, so it may have one fewer."""
        return [max(0, int(str(event["descriptors"]))) for event in self.events if "descriptors" in event]

    @property
    def namespaces(self) -> dict[str, str]:
        """The mount namespace of slurmstepd and of the last task."""
        return {str(event["namespace"]): str(event["is"]) for event in self.events if "namespace" in event}

    def status(self, when: str) -> dict[str, int]:
        """/proc/self/status of a task: after the plugin (`task`) or after it became the user (`user`); or slurmstepd's."""
        wanted = [event for event in self.events if event.get("status") == when]
        return {str(event["name"]): int(str(event["value"]), 16) for event in wanted}


def signals(status: Path) -> dict[str, int]:
    """The masks in a /proc/PID/status, without what glibc and Python ignore for themselves."""
    lines = (line.split() for line in status.read_text().splitlines() if line.startswith("Sig"))
    return {name: int(mask.split("/")[0], 16) & 0x7EFFEFFF for name, mask, *_ in lines}


@dataclass(slots=True)
class Scenario:
    """A script for the driver; `play` may run it under another command, which is how a test gets a namespace."""

    driver: Path
    folder: Path
    lines: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def say(self, *words: object) -> Scenario:
        self.lines.append("\t".join(str(word) for word in words))
        return self

    def play(self, *under: str | Path, time_limit: float = 60) -> Outcome:
        script, output = self.write()
        done = subprocess.run(
            [*under, self.driver, script, output],
            env={"PATH": os.environ["PATH"], **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=time_limit,
            check=False,
        )
        assert done.returncode == 0, done.stderr  # the sanitizers' word, too
        return read_outcome(output)

    def write(self) -> tuple[Path, Path]:
        script, output = self.folder / "script", self.folder / "output"
        script.write_text("".join(f"{line}\n" for line in self.lines))
        output.write_text("")
        return script, output


def read_outcome(output: Path) -> Outcome:
    return Outcome([json.loads(line) for line in output.read_text().splitlines()])


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

"""What a user types of the tasks themselves, as values: their variables, where they start, and what starts them.

It never reads an environment or a file: who submits does, and hands the text on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.errors import ParseError, UserError
from spank_container.values.variables import is_value, is_variable_name, why_protected
from spank_container.values.volume import is_below, normal, path_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

THE_IMAGES = ""
"""As working directory or entrypoint: the one that the image has."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """`environment` is NAME=VALUE, each name once. None as `workdir` or `entrypoint`: as without a container."""

    environment: tuple[str, ...] = ()
    clear_environment: bool = False
    workdir: str | None = None
    entrypoint: str | None = None

    def over(self, job: TaskSpec) -> TaskSpec:
        """What holds for a step that wants this, in a job that wants `job`: what the step leaves open is the job's."""
        return TaskSpec(
            parse_variables([*job.environment, *self.environment]),
            self.clear_environment or job.clear_environment,
            job.workdir if self.workdir is None else self.workdir,
            job.entrypoint if self.entrypoint is None else self.entrypoint,
        )


def parse_variables(settings: Iterable[str]) -> tuple[str, ...]:
    """NAME=VALUE, each checked; of two with one name the later counts."""
    variables: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            end = max(1, len(setting))
            raise ParseError("--image-env: the value is missing", setting, (0, end), hint="write NAME=VALUE")
        variables[check_variable_name(name)] = value
        if not is_value(value):
            raise UserError(f"--image-env: the value of {name} cannot be one", hint="it holds a NUL or is not text")
    return tuple(f"{name}={value}" for name, value in variables.items())


def check_variable_name(name: str, option: str = "--image-env") -> str:
    """`name`, unless no variable may have it. A value is never shown: it may be a secret."""
    span = (0, max(1, len(name)))
    if not is_variable_name(name):
        hint = "letters, digits and _, and no digit at the beginning"
        raise ParseError(f"{option}: this is no name of a variable", name, span, hint)
    if reason := why_protected(name):
        raise ParseError(f"{option}: {name} is not for you to set: {reason}", name, span, hint="leave it out")
    return name


def with_value(setting: str, environment: Mapping[str, str]) -> str:
    """NAME alone becomes NAME=VALUE, with the value that it has in `environment`."""
    if "=" in setting:
        return setting
    name = check_variable_name(setting)
    if name not in environment:
        hint = f"write {name}=VALUE, or export it first"
        raise ParseError(f"--image-env: {name} has no value where you type this", name, (0, len(name)), hint)
    return f"{name}={environment[name]}"


def parse_environment_file(text: str, path: str) -> list[str]:
    """NAME=VALUE of each line but blank ones and comments, as Shifter reads them: quotes are part of the value."""
    settings: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        setting = line.strip(" \t\r")
        if setting and not setting.startswith("#"):
            settings.append(_setting(line.removesuffix("\r").lstrip(" \t"), f"--image-env-file: {path}, line {number}"))
    return settings


def _setting(setting: str, where: str) -> str:
    name, equals, value = setting.partition("=")
    if not equals:
        raise ParseError(f"{where}: there is no = in it", setting, (0, len(setting)), hint="write NAME=VALUE")
    check_variable_name(name, where)
    if not is_value(value):
        raise UserError(f"{where}: the value of {name} cannot be one", hint="it holds a NUL")
    return setting


def parse_workdir(text: str) -> str:
    """The folder, normal; ParseError for one that is not absolute, or that may lead out of the container."""
    if text == THE_IMAGES:
        return text
    everything = (0, len(text))
    if fault := path_fault(text):
        message, hint = fault
        raise ParseError(f"--image-workdir: {message}", text, everything, hint)
    path = normal(text)
    if is_below(path, "/proc"):  # where a process's open folders are, of the host too: CVE-2024-21626
        raise ParseError("--image-workdir: /proc is no place to work in", text, everything, hint="name another folder")
    return path


def parse_entrypoint(text: str) -> str:
    """One word, whatever is in it, as Docker takes it."""
    if not is_value(text):
        raise ParseError(
            "--image-entrypoint: no program has this name", text, (0, len(text)), hint="it holds a NUL or is not text"
        )
    return text

"""What the tasks' environment gets, in one order; docs/reference/environment.md has it as a table.

The job's, the image's, the site's, the user's --image-env, each over the one before it; and over them all what Slurm,
the start of MPI and the choice of GPUs say about this very task, which is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spank_container.values.variables import PROTECTED, is_protected_variable, is_value, is_variable_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spank_container.request import JobRequest
    from spank_container.site_config import EnvironmentConfig
    from spank_container.values.host_facts import Account
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.task import TaskSpec

SUPPORT = "/opt/spank-container"
ALWAYS = "every container"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the image says of these was true where it was built: who, on which host, with room for temporary files where.
_NEVER_THE_IMAGES = {"HOME", "USER", "LOGNAME", "HOSTNAME", "TMPDIR"}
# They name files of the host's root; ld.so(8) looks them up in the container's.
_NEVER_THE_JOBS = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")


@dataclass(frozen=True, slots=True)
class Variable:
    """None as value: it is taken away. `why` says who wanted it so."""

    value: str | None
    why: str


def tasks_environment(
    request: JobRequest, image: ImageMeta, site: EnvironmentConfig, account: Account
) -> tuple[str, ...]:
    """Records for the plugin, which applies them in order: NAME=VALUE sets, NAME takes away; +PREFIX and - clear."""
    cleared = (*(f"+{beginning}" for beginning in PROTECTED), "-") if request.task.clear_environment else ()
    variables = tasks_variables(request, image, site, account)
    records = (name if one.value is None else f"{name}={one.value}" for name, one in variables.items())
    return (*cleared, *records)


def tasks_variables(
    request: JobRequest, image: ImageMeta, site: EnvironmentConfig, account: Account
) -> dict[str, Variable]:
    """What is set over the job's own environment, or taken away from it."""
    variables: dict[str, Variable] = {}
    for why, settings in _layers(request.task, image, site, account).items():
        variables |= {name: Variable(value, why) for name, value in settings.items()}
    _join(variables, site)
    # Always ours: the host's PATH leads nowhere in an image, and an empty part of a path means the current folder.
    path = variables.get("PATH") or Variable("", "")
    ours = Variable(f"{SUPPORT}/bin:{path.value or _DEFAULT_PATH}", "; ".join(filter(None, [path.why, ALWAYS])))
    # These three are what scripts and dotfiles of Shifter's users look at.
    shifters = {"RUNTIME": "1", "IMAGE": request.image.digest, "IMAGEREQUEST": request.image_request}
    return variables | {"PATH": ours} | {f"SHIFTER_{name}": Variable(value, ALWAYS) for name, value in shifters.items()}


def cleared_environment(
    request: JobRequest, image: ImageMeta, site: EnvironmentConfig, account: Account
) -> tuple[str, ...]:
    """NAME=VALUE of what a task has whose own environment is cleared: the container's `shifter --clearenv` sets it."""
    cleared = replace(request, task=replace(request.task, clear_environment=True))
    variables = tasks_variables(cleared, image, site, account)
    return tuple(f"{name}={one.value}" for name, one in variables.items() if one.value is not None)


def _layers(
    task: TaskSpec, image: ImageMeta, site: EnvironmentConfig, account: Account
) -> dict[str, Mapping[str, str | None]]:
    """Each over the one before it, by the reason for it."""
    user = (f"HOME={account.home}", f"USER={account.name}", f"LOGNAME={account.name}")
    images = {name: value for name, value in _settings(image.environment).items() if name not in _NEVER_THE_IMAGES}
    return {
        "it is about the host": dict.fromkeys(_NEVER_THE_JOBS),
        "--image-clearenv": _settings(user) if task.clear_environment else {},
        "the image": images,
        "[environment] set": _settings(site.set),
        "[environment] unset": dict.fromkeys(filter(_may_be_set, site.unset)),
        "--image-env": _settings(task.environment),
    }


def _join(variables: dict[str, Variable], site: EnvironmentConfig) -> None:
    """With what the site puts before and behind values, in the order in which it says so; nothing changes nothing."""
    for name, value in reversed(_pairs(site.prepend)):
        _set(variables, name, Variable(value, "[environment] prepend"), variables.get(name))
    for name, value in _pairs(site.append):
        _set(variables, name, variables.get(name), Variable(value, "[environment] append"))


def _set(variables: dict[str, Variable], name: str, *parts: Variable | None) -> None:
    there = [part for part in parts if part and part.value]
    if there:
        whys = dict.fromkeys(part.why for part in there)
        variables[name] = Variable(":".join(str(part.value) for part in there), "; ".join(whys))


def _settings(settings: Iterable[str]) -> dict[str, str]:
    return dict(_pairs(settings))


def _pairs(settings: Iterable[str]) -> list[tuple[str, str]]:
    """Name and value of each that can be set; anything may be wrong with an image's."""
    pairs = [setting.split("=", 1) for setting in settings if "=" in setting]
    return [(name, value) for name, value in pairs if _may_be_set(name) and is_value(value)]


def _may_be_set(name: str) -> bool:
    return is_variable_name(name) and not is_protected_variable(name)

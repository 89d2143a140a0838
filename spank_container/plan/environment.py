"""What the tasks' environment gets, in one order; docs/reference/environment.md has it as a table.

The job's, the image's, the site's, the user's --image-env, each over the one before it; and over them all what Slurm,
the start of MPI and the choice of GPUs say about this very task, which is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.values.variables import PROTECTED, is_protected_variable, is_value, is_variable_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spank_container.request import JobRequest
    from spank_container.site_config import EnvironmentConfig
    from spank_container.values.host_facts import Account
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.task import TaskSpec

SUPPORT = "/opt/spank-container"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the image says of these was true where it was built: who, on which host, with room for temporary files where.
_NEVER_THE_IMAGES = {"HOME", "USER", "LOGNAME", "HOSTNAME", "TMPDIR"}
# They name files of the host's root; ld.so(8) looks them up in the container's.
_NEVER_THE_JOBS = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")


def tasks_environment(
    request: JobRequest, image: ImageMeta, site: EnvironmentConfig, account: Account
) -> tuple[str, ...]:
    """Records for the plugin, which applies them in order: NAME=VALUE sets, NAME takes away; +PREFIX and - clear."""
    variables = _joined(_layers(request.task, image, site, account), site)
    # Always ours: the host's PATH leads nowhere in an image, and an empty part of a path means the current folder.
    variables["PATH"] = f"{SUPPORT}/bin:{variables.get('PATH') or _DEFAULT_PATH}"
    variables["SHIFTER_RUNTIME"] = "1"  # these three are what scripts and dotfiles of Shifter's users look at
    variables["SHIFTER_IMAGE"] = request.image.digest
    variables["SHIFTER_IMAGEREQUEST"] = request.image_request
    cleared = (*(f"+{beginning}" for beginning in PROTECTED), "-") if request.task.clear_environment else ()
    return (*cleared, *(name if value is None else f"{name}={value}" for name, value in variables.items()))


_Variables = dict[str, str | None]  # None: taken away


def _layers(task: TaskSpec, image: ImageMeta, site: EnvironmentConfig, account: Account) -> _Variables:
    """Each over the one before it."""
    user = (f"HOME={account.home}", f"USER={account.name}", f"LOGNAME={account.name}")
    images = {name: value for name, value in _settings(image.environment).items() if name not in _NEVER_THE_IMAGES}
    return {
        **dict.fromkeys(_NEVER_THE_JOBS),
        **(_settings(user) if task.clear_environment else {}),
        **images,
        **_settings(site.set),
        **dict.fromkeys(filter(_may_be_set, site.unset)),
        **_settings(task.environment),
    }


def _joined(variables: _Variables, site: EnvironmentConfig) -> _Variables:
    """With what the site puts before and behind values, in the order in which it says so."""
    for name, value in reversed(_pairs(site.prepend)):
        variables[name] = ":".join(filter(None, [value, variables.get(name)]))
    for name, value in _pairs(site.append):
        variables[name] = ":".join(filter(None, [variables.get(name), value]))
    return variables


def _settings(settings: Iterable[str]) -> dict[str, str]:
    return dict(_pairs(settings))


def _pairs(settings: Iterable[str]) -> list[tuple[str, str]]:
    """Name and value of each that can be set; anything may be wrong with an image's."""
    pairs = [setting.split("=", 1) for setting in settings if "=" in setting]
    return [(name, value) for name, value in pairs if _may_be_set(name) and is_value(value)]


def _may_be_set(name: str) -> bool:
    return is_variable_name(name) and not is_protected_variable(name)

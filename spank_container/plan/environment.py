"""What the tasks' environment gets: the image's variables over the job's.

What Slurm, the process managers and the choice of GPUs say about this very task is never touched, whatever an image
brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.values.variables import is_protected_variable, is_value, is_variable_name

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPORT = "/opt/spank-container"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def tasks_environment(image: Iterable[str]) -> tuple[str, ...]:
    """NAME=VALUE for each variable to set; `image` is the image's own list, of which anything may be wrong."""
    variables: dict[str, str] = {"PATH": _DEFAULT_PATH}
    for setting in image:
        name, equals, value = setting.partition("=")
        if equals and is_variable_name(name) and is_value(value) and not is_protected_variable(name):
            variables[name] = value
    # An empty PATH would leave an empty part behind ours, which means the current folder.
    variables["PATH"] = f"{SUPPORT}/bin:{variables['PATH'] or _DEFAULT_PATH}"
    variables["SHIFTER_RUNTIME"] = "1"  # what dotfiles of Shifter's users look at
    return tuple(f"{name}={value}" for name, value in variables.items())

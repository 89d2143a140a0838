"""What the tasks' environment gets: the image's variables over the job's.

What Slurm, the process managers and the choice of GPUs say about this very task is never touched, whatever an image
brings.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPORT = "/opt/spank-container"
_UNTOUCHABLE = (
    "SLURM",
    "SPANK",
    "_SLURM",
    "PMI",
    "PALS_",
    "CUDA_VISIBLE_",
    "ROCR_VISIBLE_",
    "ZE_AFFINITY_",
    "GPU_DEVICE_",
)
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def tasks_environment(image: Iterable[str]) -> tuple[str, ...]:
    """NAME=VALUE for each variable to set; `image` is the image's own list, of which anything may be wrong."""
    variables: dict[str, str] = {"PATH": _DEFAULT_PATH}
    for setting in image:
        name, equals, value = setting.partition("=")
        if equals and _NAME.fullmatch(name) and _is_value(value) and not name.startswith(_UNTOUCHABLE):
            variables[name] = value
    # An empty PATH would leave an empty part behind ours, which means the current folder.
    variables["PATH"] = f"{SUPPORT}/bin:{variables['PATH'] or _DEFAULT_PATH}"
    variables["SHIFTER_RUNTIME"] = "1"  # what dotfiles of Shifter's users look at
    return tuple(f"{name}={value}" for name, value in variables.items())


def _is_value(text: str) -> bool:
    """What execve(2) can take: the bytes of a file name, but no NUL, and no surrogate that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False

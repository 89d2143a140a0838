"""Names and values of environment variables: what can be one, and which belong to the machinery that starts tasks."""

from __future__ import annotations

import os
import re

_PROTECTED = (
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
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_variable_name(text: str) -> bool:
    """Whether a shell can name it."""
    return bool(_NAME.fullmatch(text))


def is_protected_variable(name: str) -> bool:
    """What Slurm, the process managers and the choice of GPUs say about a task is never overwritten."""
    return name.startswith(_PROTECTED)


def is_value(text: str) -> bool:
    """What execve(2) can take: the bytes of a file name, but no NUL, and no surrogate that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False

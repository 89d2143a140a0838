"""Names and values of environment variables: what can be one, and which belong to the machinery that starts tasks."""

from __future__ import annotations

import os
import re

_TASK = "Slurm tells a task with it what it is"
_MPI = "the start of MPI tells a task with it where its peers are"
_NETWORK = "Slurm gives a task its part of the network with it"
_GPU = "it says which GPUs a task may use, which Slurm chooses"
_OURS = "spank-container tells a task with it what it runs in"

# What a name begins with, and why nobody may overwrite it: neither image nor site nor --image-env. From what the plugins
# of Slurm 22.05 to 26.05 set; docs/reference/environment.md has it too.
PROTECTED = {
    "SLURM": _TASK,
    "SPANK": _TASK,
    "_SLURM": _TASK,
    "PMI": _MPI,  # PMI_ of mpi/pmi2 and mpi/cray_shasta, PMIX_ of mpi/pmix
    "PALS_": _MPI,  # mpi/cray_shasta
    "OMPI_MCA_orte_precondition_transports": _MPI,  # mpi/pmix
    "SLINGSHOT_": _NETWORK,  # switch/hpe_slingshot
    "OMPI_MCA_btl_openib_if_include": _NETWORK,  # gres/nic
    "CUDA_VISIBLE_DEVICES": _GPU,  # gres/gpu, this and the next four
    "ROCR_VISIBLE_DEVICES": _GPU,
    "HIP_VISIBLE_DEVICES": _GPU,
    "GPU_DEVICE_ORDINAL": _GPU,
    "ZE_AFFINITY_MASK": _GPU,
    "NVIDIA_VISIBLE_DEVICES": _GPU,  # most images of NVIDIA's say "all" in it
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": _GPU,  # gres/mps
    "SHIFTER_IMAGE": _OURS,
    "SHIFTER_RUNTIME": _OURS,
}
_BEGINNINGS = tuple(PROTECTED)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_variable_name(text: str) -> bool:
    """Whether a shell can name it."""
    return bool(_NAME.fullmatch(text))


def is_protected_variable(name: str) -> bool:
    """What Slurm, the process managers and the choice of GPUs say about a task is never overwritten."""
    return name.startswith(_BEGINNINGS)


def why_protected(name: str) -> str:
    """Why nobody may overwrite the variable, in words; empty when everybody may."""
    return next((reason for beginning, reason in PROTECTED.items() if name.startswith(beginning)), "")


def is_value(text: str) -> bool:
    """What execve(2) can take: the bytes of a file name, but no NUL, and no surrogate that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False

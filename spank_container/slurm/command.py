"""Runs Slurm's own commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.run import FIXED_ENVIRONMENT, run

if TYPE_CHECKING:
    from collections.abc import Sequence


def ask_slurm(argv: Sequence[str], timeout: float = 60, time_format: str = "") -> str:
    """What the command prints, times as strftime(3) has them; raises as `run` does.

    SLURM_CONF is all that is taken from our environment: slurmd and the sweep's unit set it where slurm.conf is
    elsewhere. SQUEUE_STATES and the like of an administrator's shell would change the answer.
    """
    conf = os.environ.get("SLURM_CONF")
    environment = {**FIXED_ENVIRONMENT, **({"SLURM_CONF": conf} if conf else {})}
    if time_format:
        environment["SLURM_TIME_FORMAT"] = time_format
    return run(argv, timeout=timeout, environment=environment).stdout.decode(errors="replace")

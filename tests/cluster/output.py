"""What jobs and commands print, sorted: by the headings of a script, and Slurm's own words apart."""

from __future__ import annotations

import re

# What srun says when it has to wait for other steps, which depends on how busy the machine is; and what 22.05 says of
# --cpu-bind on nodes such as the sandbox's, however quiet it is told to be.
NOTES = re.compile(
    r"^srun: (Job \d+ step .*|Step created .*|cluster configuration lacks support for cpu binding)\n", re.MULTILINE
)


def sections(printed: str) -> dict[str, str]:
    """The text below each heading, which is a line of `== HEADING`."""
    _, *parts = re.split(r"^== (.*)\n", NOTES.sub("", printed), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def without_slurm(stderr: str) -> str:
    """Only what is not Slurm's own: its lines begin with the program's name, and each release has others."""
    return re.sub(r"^(sbatch|salloc|srun|slurmstepd\S*): .*\n", "", stderr, flags=re.MULTILINE)

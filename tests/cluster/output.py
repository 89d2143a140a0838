"""What a job printed, by the headings that its script prints: lines of `== HEADING`."""

from __future__ import annotations

import re


def sections(printed: str) -> dict[str, str]:
    """The text below each heading."""
    _, *parts = re.split(r"^== (.*)\n", printed, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def without_slurm(stderr: str) -> str:
    """Only what is not Slurm's own: its lines begin with the program's name, and each release has others."""
    return "".join(
        line for line in stderr.splitlines(keepends=True) if not re.match(r"(sbatch|salloc|srun|slurmstepd\S*): ", line)
    )

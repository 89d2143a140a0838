"""The releases of Slurm that we support, and the release of Debian that packages each."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.command import SandboxError


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Slurm as Debian packages it."""

    slurm: str
    suite: str
    python: str


RELEASES = (
    Release("22.05", "bookworm", "3.11"),
    Release("24.11", "trixie", "3.13"),
    Release("26.05", "forky", "3.14"),
)
DEFAULT = "24.11"


def release_of(slurm: str) -> Release:
    """The release whose Slurm is `slurm`."""
    for release in RELEASES:
        if release.slurm == slurm:
            return release
    known = ", ".join(release.slurm for release in RELEASES)
    raise SandboxError(f"no Slurm {slurm} here; there are {known}")

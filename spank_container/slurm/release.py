"""Which release of Slurm is here: that of the headers, which a plugin is compiled against, and that of the programs.

Slurm refuses a SPANK plugin of another release: major and minor must be the same, the third number is free
(src/common/plugin.c, mask 0xffff00).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.errors import SiteError, SpankContainerError
from spank_container.slurm.command import ask_slurm

if TYPE_CHECKING:
    from pathlib import Path

HEADERS_HINT = "install Slurm's development package (Debian: libslurm-dev, RHEL: slurm-devel) of the installed release"
_NUMBER = re.compile(r"^#define\s+SLURM_VERSION_NUMBER\s+0x([0-9a-fA-F]{6})\s*$", re.MULTILINE)
_SAID = re.compile(r"^slurm(?:-wlm)? (\d+)\.(\d+)\.", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class SlurmRelease:
    """Major and minor: all that a plugin's fit depends on."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor:02}"


def parse_version_header(text: str) -> SlurmRelease | None:
    """The release that slurm/slurm_version.h is of: 0x160508 is 22.05.8."""
    match = _NUMBER.search(text)
    return SlurmRelease(int(match[1][:2], 16), int(match[1][2:4], 16)) if match else None


def parse_version_output(text: str) -> SlurmRelease | None:
    """What a Slurm program prints for -V: "slurm 24.11.5", or "slurm-wlm 22.05.8" on Debian."""
    match = _SAID.search(text)
    return SlurmRelease(int(match[1]), int(match[2])) if match else None


def release_of_headers(include: Path) -> SlurmRelease:
    """Raises SiteError when there are no headers below `include`."""
    header = include / "slurm" / "slurm_version.h"
    try:
        release = parse_version_header(header.read_text())
    except OSError as error:
        raise SiteError(f"reading Slurm's headers: {error.strerror} [{header}]", hint=HEADERS_HINT) from error
    if release is None or not (include / "slurm" / "spank.h").is_file():
        raise SiteError(f"these are not Slurm's headers: no version, or no spank.h [{header.parent}]", HEADERS_HINT)
    return release


def release_of_programs() -> SlurmRelease | None:
    """None where no Slurm program answers."""
    # The daemons come first: the client commands read slurm.conf before they look at -V, and fail without one.
    for program in ("slurmd", "slurmctld", "sinfo"):
        try:
            release = parse_version_output(ask_slurm([program, "-V"], timeout=10))
        except SpankContainerError:
            continue
        if release:
            return release
    return None

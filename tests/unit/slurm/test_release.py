from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spank_container.errors import SiteError
from spank_container.slurm.release import (
    SlurmRelease,
    parse_version_header,
    parse_version_output,
    release_of_headers,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("#define SLURM_VERSION_NUMBER 0x160508\n", "22.05"),
        ("#ifndef X\n#define SLURM_VERSION_NUMBER 0x180b05\n", "24.11"),
        ("#define SLURM_VERSION_NUMBER\t0x1A0505\n", "26.05"),
    ],
)
def test_the_header_names_the_release(text: str, release: str) -> None:
    assert str(parse_version_header(text)) == release


@pytest.mark.parametrize("text", ["", "#define SLURM_VERSION_NUMBER 22\n", "// SLURM_VERSION_NUMBER 0x160508\n"])
def test_a_header_without_a_number_is_none(text: str) -> None:
    assert parse_version_header(text) is None


@pytest.mark.parametrize(
    ("said", "release"),
    [
        ("slurm-wlm 22.05.8\n", SlurmRelease(22, 5)),
        ("slurm 26.05.5\n", SlurmRelease(26, 5)),
        ("slurm 25.11.0-0rc1\n", SlurmRelease(25, 11)),
        ("slurmd: a warning first\nslurm 24.11.5\n", SlurmRelease(24, 11)),
        ("", None),
        ("slurm version unknown", None),
    ],
)
def test_programs_say_the_release(said: str, release: SlurmRelease | None) -> None:
    assert parse_version_output(said) == release


def test_headers_without_spank_h_are_refused(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/slurm_version.h").write_text("#define SLURM_VERSION_NUMBER 0x160508\n")
    with pytest.raises(SiteError, match="these are not Slurm's headers"):
        release_of_headers(tmp_path)

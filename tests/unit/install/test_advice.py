"""The lines that the administrator is told to add, and when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spank_container.install.advice import missing_lines
from spank_container.install.plan import InstallOptions

if TYPE_CHECKING:
    from pathlib import Path

RESTART = "then restart slurmctld and each slurmd, and run `spank-container check`"
PLUGSTACK = "add to /etc/slurm/plugstack.conf: include /etc/slurm/plugstack.conf.d/*.conf"
SNIPPET = "add to /etc/slurm/slurm.conf: include spank-container.slurm.conf"
MOVE = (
    "/etc/slurm/slurm.conf has Prolog=/etc/slurm/my-prolog.sh: "
    "link that into /etc/slurm/prolog.d, and write Prolog=/etc/slurm/prolog.d/*"
)
OURS = "Prolog=/etc/slurm/prolog.d/*\nEpilog=/etc/slurm/epilog.d/*\nPrologFlags=Alloc,Contain,DeferBatch\n"


def advice(root: Path, slurm_conf: str | None, plugstack: str | None, **others: str) -> tuple[str, ...]:
    folder = root / "etc/slurm"
    folder.mkdir(parents=True)
    files = {"slurm.conf": slurm_conf, "plugstack.conf": plugstack, **others}
    for name, text in files.items():
        if text is not None:
            (folder / name).write_text(text)
    return missing_lines(InstallOptions(root=root))


def test_a_bare_machine_needs_both_includes(tmp_path: Path) -> None:
    assert advice(tmp_path, None, None) == (PLUGSTACK, SNIPPET, RESTART)


@pytest.mark.parametrize(
    "line",
    [
        "include /etc/slurm/plugstack.conf.d/*.conf",
        "INCLUDE plugstack.conf.d/*",
        "include plugstack.conf.d/s*.conf # us",
    ],
)
@pytest.mark.parametrize(
    "include", ["include spank-container.slurm.conf", "Include /etc/slurm/spank-container.slurm.conf"]
)
def test_what_is_there_is_not_asked_for(tmp_path: Path, line: str, include: str) -> None:
    snippet = {"spank-container.slurm.conf": OURS}
    assert advice(tmp_path, f"ClusterName=c\n{include}\n", f"{line}\n", **snippet) == ()


@pytest.mark.parametrize(
    "line",
    ["", "# include plugstack.conf.d/*.conf", "include other.d/*.conf", "include plugstack.conf.d/*.disabled"],
)
def test_a_plugstack_conf_without_us_is_told(tmp_path: Path, line: str) -> None:
    assert advice(tmp_path, OURS, line) == (PLUGSTACK, RESTART)


def test_a_plugstack_conf_by_another_name_is_found(tmp_path: Path) -> None:
    named = {"spank.conf": "include plugstack.conf.d/*.conf"}
    assert advice(tmp_path, f"PlugStackConfig=/etc/slurm/spank.conf\n{OURS}", None, **named) == ()


def test_a_sites_own_prolog_goes_into_the_folder(tmp_path: Path) -> None:
    text = 'prolog="/etc/slurm/my-prolog.sh"\nEpilog=/etc/slurm/epilog.d/*\nPrologFlags=x11,alloc\n'
    assert advice(tmp_path, text, "include plugstack.conf.d/*.conf") == (
        MOVE,
        "add Contain,DeferBatch to PrologFlags in /etc/slurm/slurm.conf",
        RESTART,
    )


def test_one_of_several_prologs_is_enough(tmp_path: Path) -> None:
    """From 24.11 on, Slurm takes the setting as often as it stands there."""
    text = f"Prolog=/etc/slurm/my-prolog.sh\n{OURS}"
    assert advice(tmp_path, text, "include plugstack.conf.d/*.conf") == ()


def test_a_missing_epilog_is_told_by_itself(tmp_path: Path) -> None:
    text = "Prolog=/etc/slurm/prolog.d/*\nPrologFlags=Alloc,Contain,DeferBatch\n"
    assert advice(tmp_path, text, "include plugstack.conf.d/*.conf") == (
        "add to /etc/slurm/slurm.conf: Epilog=/etc/slurm/epilog.d/*",
        RESTART,
    )

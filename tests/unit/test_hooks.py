"""The Prolog's and Epilog's scripts, run for real with the environment that Slurm gives: no PATH."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from spank_container.render import hook

RECORDER = '#!/bin/sh\necho "$@ $SPANK_CONTAINER_REQUEST $HOME"\nexit 3\n'


def run_hook(name: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = folder / name
    script.write_text(hook(name, folder, folder / "venv"))
    script.chmod(0o755)
    return subprocess.run([script], env=environment, capture_output=True, text=True, check=False)


def with_python(folder: Path) -> Path:
    python = folder / "venv/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER)
    python.chmod(0o755)
    return folder


@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_a_job_without_a_container_leaves_at_once(name: str, tmp_path: Path) -> None:
    done = run_hook(name, tmp_path, SLURM_JOB_ID="4294967290")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_leaving_forks_nothing(name: str, tmp_path: Path) -> None:
    run_hook(name, tmp_path)
    command = ["strace", "-f", "-e", "trace=clone,clone3,fork,vfork,execve", str(tmp_path / name)]
    traced = subprocess.run(command, env={"SLURM_JOB_ID": "4294967290"}, capture_output=True, text=True, check=True)
    calls = [line.split("(")[0] for line in traced.stderr.splitlines() if not line.startswith("+++")]
    assert calls == ["execve"]


@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_a_request_starts_the_program_and_its_status_is_the_hooks(name: str, tmp_path: Path) -> None:
    """With a HOME, for which Python need not ask a name service that may hang."""
    done = run_hook(name, with_python(tmp_path), SPANK_CONTAINER_REQUEST="{}", SLURM_JOB_ID="1")
    assert (done.stdout, done.returncode) == (f"-I -m spank_container {name} {{}} /nonexistent\n", 3)


@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_without_python_the_node_is_at_fault(name: str, tmp_path: Path) -> None:
    done = run_hook(name, tmp_path, SPANK_CONTAINER_REQUEST="{}", SLURM_JOB_ID="1")
    assert done.returncode == 127
    assert "not found" in done.stderr


def test_what_a_user_can_set_means_nothing_to_sh(tmp_path: Path) -> None:
    """Slurm puts SPANK_ before every name; the value is only tested for being there."""
    hostile = '"; touch /tmp/spank-container-hostile; echo "$(touch /tmp/spank-container-hostile)'
    done = run_hook(
        "prolog", with_python(tmp_path), SPANK_CONTAINER_REQUEST=hostile, SPANK_LD_PRELOAD="/x", SLURM_JOB_ID="1"
    )
    assert hostile in done.stdout
    assert not Path("/tmp/spank-container-hostile").exists()

"""The two `shifter` scripts, run for real; srun is a script that writes down what it was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[2] / "spank_container/support"
SRUN = f"""#!{sys.executable}
import json, os, sys
print(json.dumps({{"argv": sys.argv[1:], "env": sorted(os.environ), "stdin": sys.stdin.read()}}))
sys.exit(7)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    return f"{tmp_path}:/usr/bin:/bin"


def shifter(side: str, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    script = SUPPORT / side / "bin/shifter"
    return subprocess.run(
        [script, *arguments],
        env={"PATH": os.defpath, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_in_a_batch_script_the_command_gets_this_node_and_srun_s_status(path: str) -> None:
    done = shifter("host", "app", "a b", "--flag", stdin="text", PATH=path, SLURM_JOB_ID="1", SLURMD_NODENAME="n2")
    srun = json.loads(done.stdout)
    assert srun["argv"][-4:] == ["--nodelist=n2", "app", "a b", "--flag"]
    flags = ["--quiet", "--ntasks=1", "--nodes=1", "--overlap", "--cpu-bind=none", "--quit-on-interrupt"]
    assert srun["argv"][:-4] == flags
    assert srun["stdin"] == "text"
    assert done.returncode == 7


def test_in_salloc_s_shell_the_first_node_serves(path: str) -> None:
    srun = json.loads(shifter("host", "app", PATH=path, SLURM_JOB_ID="1").stdout)
    assert srun["argv"][-2:] == ["--relative=0", "app"]


def test_the_job_s_layout_does_not_reach_srun(path: str) -> None:
    layout = {
        "SLURM_NTASKS": "8",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_TRES_PER_TASK": "cpu=2",
        "SLURM_DISTRIBUTION": "x",
    }
    done = shifter(
        "host", "app", PATH=path, SLURM_JOB_ID="1", SLURM_NTASKS_PER_NODE="4", SLURM_JOB_NUM_NODES="2", **layout
    )
    seen = json.loads(done.stdout)["env"]
    assert [name for name in seen if name.startswith("SLURM_")] == ["SLURM_JOB_ID", "SLURM_JOB_NUM_NODES"]


def test_an_image_of_the_commands_own_goes_to_srun(path: str) -> None:
    done = shifter("host", "--image=docker:alpine", "--volume=/a:/b", "cat", "-n", PATH=path, SLURM_JOB_ID="1")
    assert json.loads(done.stdout)["argv"][-4:] == ["--image=docker:alpine", "--volume=/a:/b", "cat", "-n"]


@pytest.mark.parametrize(
    ("side", "arguments", "message", "hint"),
    [
        ("host", [], "there is no command", "shifter [--image=IMAGE] [--volume=VOLUME] CMD [ARGUMENT...]"),
        ("host", ["app"], "this is not a job", "sbatch --image=IMAGE job.sh, or srun --image=IMAGE CMD"),
        ("host", ["-V", "/a:/b", "app"], "there is no option -V", "--image=IMAGE and --volume=VOLUME are known"),
        (
            "host",
            ["--image=a", "--env=b", "app"],
            "there is no option --env=b",
            "--image=IMAGE and --volume=VOLUME are known",
        ),
        (
            "container",
            ["--image=a", "app"],
            "there is no option --image=a in the container",
            "give --image and --volume to sbatch, salloc or srun",
        ),
    ],
)
def test_a_refusal_says_what_to_do(side: str, arguments: list[str], message: str, hint: str) -> None:
    done = shifter(side, *arguments)
    assert done.stderr == f"spank-container: shifter: {message}\nhint: {hint}\n"
    assert done.stdout == ""
    assert done.returncode == 64


def test_in_the_container_the_command_is_executed() -> None:
    done = shifter("container", "/bin/sh", "-c", 'echo "$0 $1"; exit 3', "a b", "-x")
    assert (done.stdout, done.returncode) == ("a b -x\n", 3)


@pytest.mark.parametrize("shell", ["/nonexistent/zsh", ""])
def test_in_the_container_a_shell_that_is_not_there_becomes_sh(shell: str) -> None:
    done = shifter("container", stdin="echo $0", SHELL=shell)
    assert (done.stdout, done.returncode) == ("/bin/sh\n", 0)

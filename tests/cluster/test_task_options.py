"""What tasks get: variables, a working directory, an entrypoint; and steps that share their job's container.

One job of an image that says a lot about itself, most of which is not its to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import NOTES, sections, without_slurm
from real_cluster import PROGRAM, pull

from sandbox.images import fill_busybox
from sandbox.oci import ImageConfig, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cluster import Cluster

IMAGE = "--image=docker:talkative"
SAYS = {
    "PATH": "/usr/bin:/bin",
    "LANG": "image",
    "FROM_IMAGE": "yes",
    "GREETING": "image",
    # From here on it is not the image's business.
    "HOME": "/root",
    "TMPDIR": "/image",
    "HOSTNAME": "builder",
    "SLURM_JOB_ID": "999999",
    "PMI_RANK": "999999",
    "CUDA_VISIBLE_DEVICES": "all",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "SHIFTER_RUNTIME": "0",
}
PROGRAMS = {
    "entry": '#!/bin/sh\necho "the entry was given: $*"\nshift\nexec "$@"\n',
    "say it": '#!/bin/sh\necho "said: $*"\n',
}
SETTINGS = "# mine\n\nFILE='from a file'\nBOTH=file\n"
OPTIONS = [
    IMAGE,
    "--volume=/shared/alice/cache:/mnt:perNodeCache=size=16M,fs=ext4",
    "--image-env-file=settings",
    "--image-env=BOTH=option",
    "--image-env=GREETING",
    "--nodelist=n1",
]
SCRIPT = r"""#!/bin/bash
export TMPDIR=/mnt ONLY_JOB=job LANG=job LD_LIBRARY_PATH=/job CUDA_VISIBLE_DEVICES=1 GREETING='not this'
step() { echo "== $1"; shift; srun --nodes=1 --ntasks=1 "$@" 2>&1; }
echo '== batch'; env
step plain sh -c 'touch /mnt/left /tmp/left; env; echo "DIRECTORY=$(pwd)"; echo "NAMESPACE=$(readlink /proc/self/ns/mnt)"'
step joined --image-env=FROM_STEP=1 --image-env=BOTH=step --image-workdir \
    sh -c 'env; echo "DIRECTORY=$(pwd)"; echo "NAMESPACE=$(readlink /proc/self/ns/mnt)"'
step files --image-workdir=/tmp ls /mnt/left left
step clear --image-clearenv env
step entrypoint --image-entrypoint sh -c 'echo "and starts $0 $*"' 'a command' with words
step program '--image-entrypoint=/say it' 'a  command' --image-workdir
step absent --image-workdir=/absent echo it runs
step image --image=docker:busybox sh -c 'env; pwd'
step shifter "--image=$SLURM_SPANK_SHIFTER_IMAGETYPE:$SLURM_SPANK_SHIFTER_IMAGE" env
step root --image-writable=16M --image-entrypoint sh -c 'echo yes > /new; cat /new; env'
step after env
"""


@pytest.fixture(scope="module")
def stocked(site: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster, with that image in its store."""
    folder: Path = tmp_path_factory.mktemp("talkative")
    tree = folder / "tree"
    tree.mkdir()
    fill_busybox(tree)
    for name, text in PROGRAMS.items():
        (tree / name).write_text(text)
        (tree / name).chmod(0o755)
    config = ImageConfig(SAYS, workdir="/work", command=("never",), entrypoint=("/entry", "first word"))
    write_layout(folder / "layout", [tree], config)
    site.push(folder / "layout", "library/talkative:latest")
    pull(site, "docker:talkative")
    return site


@pytest.fixture(scope="module")
def printed(stocked: Cluster) -> dict[str, str]:
    stocked.run("cat > settings", input=SETTINGS)
    stocked.run(
        f"cat > job.sh && export GREETING='hello = you' && sbatch --wait --output=job.out {' '.join(OPTIONS)} job.sh",
        input=SCRIPT,
    )
    return sections(stocked.run("cat job.out").stdout)


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FILE", "'from a file'"),
        ("BOTH", "option"),
        ("GREETING", "hello = you"),
        ("ONLY_JOB", "job"),
        ("FROM_IMAGE", "yes"),
        ("LANG", "image"),
        ("HOME", "/home/alice"),
        ("TMPDIR", "/mnt"),
        ("HOSTNAME", "n1"),
        ("LD_LIBRARY_PATH", None),
        ("PATH", "/opt/spank-container/bin:/usr/bin:/bin"),
        ("CUDA_VISIBLE_DEVICES", "1"),
        ("NVIDIA_VISIBLE_DEVICES", None),
        ("SHIFTER_RUNTIME", "1"),
        ("SHIFTER_IMAGEREQUEST", "talkative"),
        ("SLURM_PROCID", "0"),
        ("DIRECTORY", "/home/alice"),
    ],
)
def test_what_a_task_sees(printed: dict[str, str], name: str, value: str | None) -> None:
    assert variables(printed["plain"]).get(name) == value


def test_slurm_s_own_variables_win(printed: dict[str, str]) -> None:
    batch, task = variables(printed["batch"]), variables(printed["plain"])
    assert task["SLURM_JOB_ID"] == batch["SLURM_JOB_ID"] != SAYS["SLURM_JOB_ID"]
    assert task.get("PMI_RANK") != SAYS["PMI_RANK"]


def test_what_scripts_of_shifters_users_read(printed: dict[str, str]) -> None:
    batch, task = variables(printed["batch"]), variables(printed["plain"])
    assert batch["SLURM_SPANK_SHIFTER_IMAGEREQUEST"] == "talkative"
    assert batch["SLURM_SPANK_SHIFTER_IMAGETYPE"] == "id"
    assert re.fullmatch("sha256:[0-9a-f]{64}", batch["SLURM_SPANK_SHIFTER_IMAGE"])
    assert task["SHIFTER_IMAGE"] == batch["SLURM_SPANK_SHIFTER_IMAGE"]
    assert variables(printed["shifter"])["SHIFTER_IMAGE"] == task["SHIFTER_IMAGE"]


def test_a_step_that_joins_has_the_jobs_options_and_its_own(printed: dict[str, str]) -> None:
    joined = variables(printed["joined"])
    assert (joined["FROM_STEP"], joined["BOTH"], joined["FILE"]) == ("1", "step", "'from a file'")
    assert joined["DIRECTORY"] == "/work"
    assert joined["NAMESPACE"] == variables(printed["plain"])["NAMESPACE"]


def test_a_step_that_joins_sees_what_another_has_left(printed: dict[str, str]) -> None:
    assert printed["files"] == "/mnt/left\nleft\n"


def test_a_cleared_environment(printed: dict[str, str]) -> None:
    found = variables(printed["clear"])
    assert not found.keys() & {"ONLY_JOB", "MAIL", "LD_LIBRARY_PATH", "OLDPWD", "LS_COLORS"}
    assert (found["FROM_IMAGE"], found["BOTH"], found["HOME"]) == ("yes", "option", "/home/alice")
    assert (found["SLURM_PROCID"], found["CUDA_VISIBLE_DEVICES"], found["TMPDIR"]) == ("0", "1", "/tmp")
    assert found["SLURM_JOB_ID"] == variables(printed["batch"])["SLURM_JOB_ID"]


def test_the_images_entrypoint_gets_the_command(printed: dict[str, str]) -> None:
    given, started = printed["entrypoint"].splitlines()
    assert given.startswith("the entry was given: first word sh -c ")
    assert started == "and starts a command with words"


def test_an_entrypoint_of_the_users_is_one_word(printed: dict[str, str]) -> None:
    assert printed["program"] == "said: a  command --image-workdir\n"


def test_a_folder_that_is_not_there(printed: dict[str, str]) -> None:
    assert "cannot go to the folder /absent in the container: No such file or directory" in printed["absent"]
    assert "it runs" not in printed["absent"]


def test_a_step_with_an_image_of_its_own_has_only_its_own_options(printed: dict[str, str]) -> None:
    found = variables(printed["image"])
    assert (found["IMAGE_SAYS"], found.get("FILE"), found.get("BOTH")) == ("hello from the image", None, None)
    assert found["GREETING"] == "not this"
    assert printed["image"].endswith("\n/home/alice\n")


def test_a_step_with_a_root_of_its_own_keeps_the_rest(printed: dict[str, str]) -> None:
    assert "\nyes\n" in printed["root"]
    assert variables(printed["root"])["BOTH"] == "option"


def test_a_step_changes_nothing_for_the_next(printed: dict[str, str]) -> None:
    before, after = (variables(printed[step]) for step in ("plain", "after"))
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if not re.match("SLURM_.*(STEP|PORT|PID)", name)} <= {
        "DIRECTORY",  # what only the first of them has printed, and sh's own
        "NAMESPACE",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
    }


# Options of the job hold for its steps.


def test_options_of_srun_alone(stocked: Cluster) -> None:
    options = ["--image-workdir", "--image-entrypoint", "--image-clearenv"]
    done = stocked.run(["srun", IMAGE, *options, "sh", "-c", "pwd"])
    assert (done.returncode, NOTES.sub("", done.stdout)) == (0, "the entry was given: first word sh -c pwd\n/work\n")


def test_options_of_the_job_hold_for_its_steps(stocked: Cluster) -> None:
    job = stocked.sbatch("#!/bin/bash\nsrun -n1 sh -c pwd", IMAGE, "--image-workdir", "--image-entrypoint")
    assert NOTES.sub("", job.output) == "the entry was given: first word sh -c pwd\n/work\n"


def test_a_step_overrides_them(stocked: Cluster) -> None:
    job = stocked.sbatch("#!/bin/bash\nsrun -n1 --image-workdir=/mnt sh -c pwd", IMAGE, "--image-workdir")
    assert NOTES.sub("", job.output) == "/mnt\n"


# Refusals, on the login node.

REFUSALS = {
    "a variable of Slurm's": (
        [IMAGE, "--image-env=SLURM_JOB_ID=1"],
        """\
spank-container: --image-env: SLURM_JOB_ID is not for you to set: Slurm tells a task with it what it is
    SLURM_JOB_ID
    ^~~~~~~~~~~~
hint: leave it out
""",
    ),
    "a line of a file": (
        [IMAGE, "--image-env-file=bad"],
        """\
spank-container: --image-env-file: bad, line 2: there is no = in it
    no variable
    ^~~~~~~~~~~
hint: write NAME=VALUE
""",
    ),
    "no entrypoint": (
        ["--image=docker:busybox", "--image-entrypoint"],
        """\
spank-container: --image-entrypoint: the image has no entrypoint
hint: name one: --image-entrypoint=PROGRAM
""",
    ),
    "a relative folder": (
        [IMAGE, "--image-workdir=work"],
        """\
spank-container: --image-workdir: the path is not absolute
    work
    ^~~~
hint: begin it with /
""",
    ),
    "no image": (
        ["--image-clearenv"],
        """\
spank-container: --image-clearenv needs an image
hint: add --image=docker:NAME:TAG
""",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_it_is_refused_at_submit(stocked: Cluster, what: str) -> None:
    options, words = REFUSALS[what]
    stocked.run("printf 'A=1\\nno variable\\n' > bad")
    done = stocked.run(["srun", *options, "true"])
    assert (done.returncode, without_slurm(done.stderr)) == (1, words)


def test_the_command_says_what_the_job_would_carry(stocked: Cluster) -> None:
    done = stocked.run([PROGRAM, "submit", IMAGE, "--image-env=A=b", "--image-workdir"])
    assert done.returncode == 0, done.stderr
    json, *lines = done.stdout.splitlines()
    assert '"environment":["A=b"]' in json
    assert '"workdir":""' in json
    assert [line.partition("=")[0] for line in lines] == ["SHIFTER_IMAGE", "SHIFTER_IMAGEREQUEST", "SHIFTER_IMAGETYPE"]


def test_task_options_leave_nothing(stocked: Cluster) -> None:
    assert_nothing_left(stocked)

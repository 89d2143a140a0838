"""`shifter` with Shifter's options, in the container and in a batch script, on an image that has no shell."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import NOTES, sections, without_slurm
from real_cluster import pull

from sandbox.oci import ImageConfig, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cluster import Cluster

IMAGE = "--image=docker:bare"
PROGRAMS = ("/echo", "/env", "/pwd", "/cat")
# Every part says what it printed, and then its status.
SCRIPT = r"""#!/bin/bash
module load shifter
export FROM_JOB=job
run() { echo "== $1"; shift; "$@" 2>&1; echo "status $?"; }
inside() { run "srun: $1" srun -n1 --quiet shifter "${@:2}"; }
here() { run "host: $1" shifter "${@:2}"; }
for side in inside here; do
    $side plain /echo a 'b  c' --image=x -e
    $side entry --entry
    $side 'entry, words' --entrypoint you
    $side 'own entry' --entry=/echo you
    $side folder -w /pwd
    $side 'own folder' --workdir=/dev /pwd
    $side variables -e MINE='a b' --env=OTHER=1 /env
    $side cleared -E -e MINE=1 /env
    $side module -m mpich -n -v /echo with a module
    $side 'no program' /nothing
    $side 'no such option' --bogus /echo
    $side 'not for you' -e SLURM_JOB_ID=7 /echo
    $side shell
done
inside image --image=docker:busybox /echo
here image -i docker:busybox cat /etc/name-of-the-image
here volume -V /shared/alice:/data /cat /data/said
here 'file of variables' --env-file=mine -e B=typed /env
run 'srun: many' srun -n2 --quiet --multi-prog programs
"""
LIST = "0 shifter --entry=/echo zero\n1 shifter -e A=1 /echo one\n"


@pytest.fixture(scope="module")
def bare(site: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster with an image in its store of four static programs, with what Shifter's own tests say of it."""
    folder: Path = tmp_path_factory.mktemp("bare")
    tree = folder / "tree"
    (tree / "work").mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "echo")
    for program in PROGRAMS[1:]:
        (tree / program[1:]).hardlink_to(tree / "echo")
    config = ImageConfig(
        {"PATH": "/", "SAYS": "image"}, workdir="/work", command=("guys",), entrypoint=("/echo", "howdy")
    )
    write_layout(folder / "layout", [tree], config)
    site.push(folder / "layout", "library/bare:latest")
    pull(site, "docker:bare")
    return site


@pytest.fixture(scope="module")
def printed(bare: Cluster) -> dict[str, str]:
    bare.run("cat > /shared/alice/said", input="on a volume\n")
    bare.run("cat > mine", input="# of mine\nA='file'\nB=file\n")
    bare.run("cat > programs", input=LIST)
    job = bare.sbatch(SCRIPT, IMAGE, "--ntasks=2", "--nodes=1")
    return sections(job.output)


COMMON = {
    "plain": "a b  c --image=x -e\nstatus 0\n",
    "entry": "howdy guys\nstatus 0\n",
    "entry, words": "howdy you\nstatus 0\n",
    "own entry": "you\nstatus 0\n",
    "folder": "/work\nstatus 0\n",
    "own folder": "/dev\nstatus 0\n",
    "module": "shifter: --module=mpich does nothing: the site decides what is added to the container\nwith a module\nstatus 0\n",
}
REFUSED = {
    "no program": ("shifter: /nothing: No such file or directory", 127),
    "not for you": ("spank-container: shifter: --env: SLURM_JOB_ID is not for you to set\nhint: leave it out", 1),
    "shell": ("shifter: /bin/sh: No such file or directory", 127),
}


@pytest.mark.parametrize("side", ["srun", "host"])
@pytest.mark.parametrize("what", COMMON)
def test_as_with_shifter(printed: dict[str, str], side: str, what: str) -> None:
    # What goes to standard error may come before or after the rest.
    assert sorted(printed[f"{side}: {what}"].splitlines()) == sorted(COMMON[what].splitlines())


@pytest.mark.parametrize("side", ["srun", "host"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be(printed: dict[str, str], side: str, what: str) -> None:
    text, status = REFUSED[what]
    said = without_slurm(printed[f"{side}: {what}"])
    assert said == f"{text}\nstatus {status}\n"


@pytest.mark.parametrize(("side", "where"), [("srun", " in the container"), ("host", "")])
def test_an_option_that_there_is_not(printed: dict[str, str], side: str, where: str) -> None:
    said = without_slurm(printed[f"{side}: no such option"])
    assert said == f"spank-container: shifter: there is no option --bogus{where}\nhint: shifter --help\nstatus 1\n"


@pytest.mark.parametrize("side", ["srun", "host"])
def test_variables(printed: dict[str, str], side: str) -> None:
    lines = printed[f"{side}: variables"].splitlines()
    assert {"MINE=a b", "OTHER=1", "FROM_JOB=job", "SAYS=image", "PATH=/opt/spank-container/bin:/"} <= set(lines)


@pytest.mark.parametrize("side", ["srun", "host"])
def test_a_cleared_environment(printed: dict[str, str], side: str) -> None:
    lines = printed[f"{side}: cleared"].splitlines()
    assert {"MINE=1", "SAYS=image", "HOME=/home/alice", "PATH=/opt/spank-container/bin:/"} <= set(lines)
    assert not any(line.startswith("FROM_JOB") for line in lines)
    assert any(line.startswith("SLURM_PROCID=0") for line in lines)


def test_an_image_is_not_chosen_in_the_container(printed: dict[str, str]) -> None:
    assert without_slurm(printed["srun: image"]) == (
        "spank-container: shifter: --image=docker:busybox: this is the container already\n"
        "hint: give --image and --volume to sbatch, salloc or srun\nstatus 1\n"
    )


def test_an_image_and_a_volume_of_the_commands_own(printed: dict[str, str]) -> None:
    assert printed["host: image"].endswith("status 1\n")  # cat ran, and busybox has no such file
    assert "can't open '/etc/name-of-the-image'" in printed["host: image"]
    assert printed["host: volume"] == "on a volume\nstatus 0\n"


def test_a_file_of_variables(printed: dict[str, str]) -> None:
    assert {"A='file'", "B=typed"} <= set(printed["host: file of variables"].splitlines())


def test_several_programs(printed: dict[str, str]) -> None:
    assert sorted(printed["srun: many"].splitlines()) == ["one", "status 0", "zero"]


# The job's own options, on an image without a shell.


def test_the_images_entrypoint_and_several_programs(bare: Cluster) -> None:
    """Before 23.11 Slurm gives nobody a way to a task's command there, and then it is refused."""
    script = "#!/bin/sh\nsrun -n2 --quiet --multi-prog programs 2>&1\n"
    job = bare.sbatch(script, IMAGE, "--ntasks=2", "--nodes=1", "--image-entrypoint")
    if bare.release.slurm == "22.05":
        assert (
            "--image-entrypoint does not go with --multi-prog before Slurm 23.11; start an srun for each" in job.output
        )
        assert job.exit_code == 1
    else:
        assert sorted(job.output.splitlines()) == ["howdy shifter --entry=/echo zero", "howdy shifter -e A=1 /echo one"]


@pytest.mark.parametrize("options", [["--image-entrypoint"], ["--image-entrypoint=/echo"], ["--image-entrypoint=echo"]])
def test_an_entrypoint_without_a_shell(bare: Cluster, options: list[str]) -> None:
    done = bare.run(["srun", "--quiet", IMAGE, *options, "/no", "a  b", "*", ""])
    given = "howdy " if options == ["--image-entrypoint"] else ""
    assert (done.stdout, done.returncode) == (f"{given}/no a  b * \n", 0), done.stderr


def test_the_interpreter_of_a_script(bare: Cluster) -> None:
    """`#!/…/shifter PROGRAM`: a script that lies where the container shows it."""
    shifter = "/opt/spank-container/bin/shifter"
    bare.run("cat > script; chmod 755 script", input=f"#!{shifter} /cat\nits own text\n")
    job = bare.sbatch("#!/bin/sh\n./script\n", IMAGE)
    assert NOTES.sub("", job.output) == f"#!{shifter} /cat\nits own text\n"


def test_in_a_job_without_an_image(bare: Cluster) -> None:
    job = bare.sbatch("#!/bin/bash\nmodule load shifter; shifter hostname; shifter -i docker:bare /echo one\n")
    assert without_slurm(NOTES.sub("", job.output)) == (
        "spank-container: shifter: this job has no image\n"
        "hint: sbatch --image=IMAGE job.sh, or shifter --image=IMAGE CMD\none\n"
    )


def test_outside_a_job(bare: Cluster) -> None:
    done = bare.run("module load shifter; shifter -e A=1 /echo")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == (
        "spank-container: shifter: this is not a job\nhint: sbatch --image=IMAGE job.sh, or srun --image=IMAGE CMD\n"
    )


def test_all_of_this_leaves_nothing(bare: Cluster) -> None:
    assert_nothing_left(bare)

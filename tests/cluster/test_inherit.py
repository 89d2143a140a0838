"""Who gets which container: a job's options hold for its steps, and a step's own go before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

# What a step is in, in a word, and which of the volumes it has.
WHERE = """
where() {
    echo "== $1"; shift
    srun --nodes=1 --ntasks=1 "$@" sh -c '. /etc/os-release; echo "${ID:-busybox}"; ls -d /one /two /three /script /own 2> /dev/null; true' 2>&1
}
"""
VOLUMES = {name: f"--volume=/shared/alice:/{name}" for name in ("one", "two", "three", "script", "own")}


def steps(printed: str) -> dict[str, list[str]]:
    """By step: the image's name, then the volumes."""
    return {name: text.split() for name, text in sections(printed).items()}


@pytest.fixture(scope="module")
def in_batch(site: Cluster) -> dict[str, list[str]]:
    """Options in the script and on the command line, and steps with and without their own."""
    script = f"""#!/bin/bash
#SBATCH --image=docker:debian:trixie
#SBATCH {VOLUMES["script"]}
{WHERE}
    where inherited
    where "on the host" --image=none
    where "another image" --image=docker:debian:trixie
    where "another volume" {VOLUMES["own"]}
    where "after them all"
    """
    job = site.sbatch(script, "--image=docker:busybox", VOLUMES["one"], f"{VOLUMES['two']};/shared:/three")
    assert job.exit_code == 0, job.output
    return steps(job.output)


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        # The last --image wins, every --volume counts, and #SBATCH lines count before the command line.
        ("inherited", ["busybox", "/one", "/script", "/three", "/two"]),
        ("on the host", ["debian"]),
        ("another image", ["debian"]),
        ("another volume", ["busybox", "/own"]),
        ("after them all", ["busybox", "/one", "/script", "/three", "/two"]),
    ],
)
def test_a_step_of_a_batch_job(in_batch: dict[str, list[str]], step: str, seen: list[str]) -> None:
    name, *volumes = in_batch[step]
    assert [name, *sorted(volumes)] == seen


@pytest.fixture(scope="module")
def in_salloc(site: Cluster) -> dict[str, list[str]]:
    """An allocation that asked for no container."""
    script = f"""{WHERE}
    where "on the host"
    where "an image" --image=docker:busybox
    where "an image and a volume" --image=docker:busybox {VOLUMES["one"]}
    where "a volume alone" {VOLUMES["one"]}
    where "another on both nodes" --nodes=2 --ntasks=2 --image=docker:busybox
    """
    done = site.run(["salloc", "--nodes=2", "--ntasks=2", "bash", "-c", script])
    return steps(done.stdout)


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        ("on the host", ["debian"]),
        ("an image", ["busybox"]),
        ("an image and a volume", ["busybox", "/one"]),
        ("another on both nodes", ["busybox", "busybox"]),
    ],
)
def test_a_step_of_an_allocation_without_image(in_salloc: dict[str, list[str]], step: str, seen: list[str]) -> None:
    assert in_salloc[step] == seen


def test_a_volume_needs_an_image(in_salloc: dict[str, list[str]]) -> None:
    said = " ".join(in_salloc["a volume alone"])
    assert said.startswith("spank-container: --volume needs an image hint: add --image=docker:NAME:TAG")


@pytest.fixture(scope="module")
def in_salloc_with_image(site: Cluster) -> dict[str, list[str]]:
    script = f"""{WHERE}
    where inherited
    where "another image" --image=docker:debian:trixie
    where "another volume" {VOLUMES["two"]}
    where "the same image" --image=docker:busybox
    where "on the host" --image=none
    """
    done = site.run(["salloc", "--image=docker:busybox", VOLUMES["one"], "bash", "-c", script])
    return steps(done.stdout)


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        ("inherited", ["busybox", "/one"]),
        ("another image", ["debian"]),
        ("another volume", ["busybox", "/two"]),
        ("the same image", ["busybox"]),
        ("on the host", ["debian"]),
    ],
)
def test_a_step_of_an_allocation_with_image(
    in_salloc_with_image: dict[str, list[str]], step: str, seen: list[str]
) -> None:
    assert in_salloc_with_image[step] == seen


def test_steps_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)


def test_a_jobs_own_submission_inherits_nothing(site: Cluster) -> None:
    """A job that is submitted from within a job is another job."""
    script = """#!/bin/bash
    sbatch --wait --output=inner.out --wrap 'srun sh -c ". /etc/os-release; echo \\$ID"' > /dev/null && cat inner.out
    """
    job = site.sbatch(script, "--partition=shared", "--image=docker:busybox")
    assert job.output.endswith("debian\n")

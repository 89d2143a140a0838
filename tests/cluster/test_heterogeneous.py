"""Heterogeneous jobs: every part has the container that it asked for, and no other part's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections

from sandbox.jobs import RefusedError

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

PARTS = r"""
for part in 0 1; do
    echo "== $part"
    srun --het-group=$part sh -c '. /etc/os-release; echo "${ID:-busybox}"; ls -d /one /two /three 2> /dev/null; true'
done
"""
BUSYBOX, DEBIAN = "--image=docker:busybox", "--image=docker:debian:trixie"
ONE, TWO, THREE = (f"--volume=/shared/alice:/{name}" for name in ("one", "two", "three"))
# By case: the options of the first part and of the second, and what each sees.
CASES = {
    "two images": ([BUSYBOX, ONE, TWO], [DEBIAN, THREE], ["busybox", "/one", "/two"], ["debian", "/three"]),
    "no image at first": (["--image=none"], [BUSYBOX], ["debian"], ["busybox"]),
    "the same image": ([BUSYBOX, ONE, TWO], [BUSYBOX, TWO], ["busybox", "/one", "/two"], ["busybox", "/two"]),
    "nothing said": ([BUSYBOX, ONE, TWO], [], ["busybox", "/one", "/two"], ["busybox", "/one", "/two"]),
    "an image at last": ([], [BUSYBOX, ONE], ["debian"], ["busybox", "/one"]),
}
COMMON = ["--nodes=1", "--partition=shared"]


@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_command_line(site: Cluster, case: str) -> None:
    first, second, *seen = CASES[case]
    job = site.sbatch(f"#!/bin/bash\n{PARTS}", *COMMON, *first, ":", *COMMON, *second)
    assert list(parts(job.output)) == seen


@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_script(site: Cluster, case: str) -> None:
    first, second, *seen = CASES[case]
    lines = [f"#SBATCH {option}" for option in [*COMMON, *first]]
    lines += ["#SBATCH hetjob", *(f"#SBATCH {option}" for option in [*COMMON, *second])]
    job = site.sbatch("\n".join(["#!/bin/bash", *lines, PARTS]))
    assert list(parts(job.output)) == seen


def parts(printed: str) -> list[list[str]]:
    return [text.split() for text in sections(printed).values()]


def test_no_image_after_an_image(site: Cluster) -> None:
    with pytest.raises(RefusedError, match="--image=none cannot follow a part with an image; give it to the srun"):
        site.sbatch("#!/bin/sh\ntrue", *COMMON, BUSYBOX, ":", *COMMON, "--image=none")


def test_the_parts_of_one_srun_have_to_agree(site: Cluster) -> None:
    done = site.run(["srun", BUSYBOX, "hostname", ":", DEBIAN, "hostname"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "spank-container: the parts of one srun cannot differ in --image, --volume and their kin" in done.stderr


def test_heterogeneous_jobs_leave_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

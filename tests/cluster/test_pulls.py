"""Jobs whose image nobody has pulled: they ask for it at submit, and wait for it. Private images: test_private_images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle

from sandbox import gateway
from sandbox.images import fill_busybox
from sandbox.oci import ImageConfig, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
SHIFTERIMG = "/opt/spank-container/bin/shifterimg"


@pytest.fixture
def fresh(with_gateway: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An image of the test's own, in the open registry; nobody has pulled it."""
    name = "team/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-") + ":1"
    (tmp_path / "tree").mkdir()
    fill_busybox(tmp_path / "tree")
    write_layout(tmp_path / "layout", [tmp_path / "tree"], ImageConfig({"PATH": "/bin", "TEST": name}))
    with_gateway.push(tmp_path / "layout", name)
    return f"docker:docker.io/{name}"


def test_sbatch_returns_and_the_job_waits_for_its_image(with_gateway: Cluster, fresh: str) -> None:
    script = "#!/bin/bash\nsrun env | grep ^TEST="
    submitted = with_gateway.run(["sbatch", "--wait", "--output=pulled.out", f"--image={fresh}"], input=script)
    assert submitted.returncode == 0, submitted.stderr
    assert f"{fresh} is being pulled; the job waits for it" in submitted.stderr
    assert with_gateway.run(["cat", "pulled.out"]).stdout == f"TEST={fresh.removeprefix('docker:docker.io/')}\n"
    assert_idle(with_gateway)


def test_srun_waits_itself(with_gateway: Cluster, fresh: str) -> None:
    done = with_gateway.run(["srun", f"--image={fresh}", "sh", "-c", "echo $TEST"])
    assert done.stdout == f"{fresh.removeprefix('docker:docker.io/')}\n", done.stderr
    assert "being pulled" not in done.stderr
    assert with_gateway.run([PROGRAM, "pull", "--no-wait", fresh]).stdout.startswith(f"{fresh} ")


@pytest.mark.parametrize("job", [["sbatch", "--wrap=true"], ["srun", "true"]], ids=lambda job: str(job[0]))
def test_a_missing_tag_is_refused_with_the_registry_s_reason(with_gateway: Cluster, job: list[str]) -> None:
    done = with_gateway.run([job[0], "--image=docker:busybox:absent", *job[1:]])
    assert done.returncode != 0
    said = done.stderr
    assert "spank-container: cannot pull docker:docker.io/library/busybox:absent: " in said
    assert "manifest unknown" in said
    assert "hint: check the name and the tag" in said


def test_an_image_that_is_removed_is_gone_for_new_jobs(with_gateway: Cluster, fresh: str) -> None:
    assert with_gateway.run([PROGRAM, "pull", fresh]).returncode == 0
    refused = with_gateway.run([PROGRAM, "image", "rm", fresh], user="bob")
    assert (refused.returncode, "is not yours alone to remove" in refused.stderr) == (64, True)
    removed = with_gateway.run([PROGRAM, "image", "rm", fresh])
    assert (removed.returncode, removed.stdout.split()[:2]) == (0, ["removed", fresh])
    assert fresh not in with_gateway.run([PROGRAM, "images"]).stdout


def test_scripts_for_shifterimg_go_on(with_gateway: Cluster, fresh: str) -> None:
    absent = with_gateway.run([SHIFTERIMG, "lookup", fresh])
    assert (absent.returncode, absent.stdout, absent.stderr) == (1, "", "")
    pulled = with_gateway.run([SHIFTERIMG, "pull", fresh])
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.endswith("status: READY\n")
    digest = with_gateway.run([SHIFTERIMG, "lookup", fresh]).stdout.strip()
    ran = with_gateway.run(["srun", f"--image=id:{digest}", "sh", "-c", "echo $TEST"])
    assert ran.stdout.startswith("team/"), ran.stderr
    failed = with_gateway.run([SHIFTERIMG, "pull", "docker:busybox:absent"])
    assert failed.returncode == 1
    assert "status: FAILURE" in failed.stdout
    assert "manifest unknown" in failed.stderr


def test_without_the_gateway_what_is_there_runs_on(with_gateway: Cluster, fresh: str) -> None:
    login = with_gateway.members["login"]
    login.sh(gateway.STOP)
    try:
        there = with_gateway.run(["srun", "--image=docker:busybox", "sh", "-c", "echo here"])
        assert there.stdout == "here\n", there.stderr
        absent = with_gateway.run(["srun", f"--image={fresh}", "true"])
        assert absent.returncode != 0
        assert f"the image gateway does not answer (unix:{gateway.SOCKET}: No such file or directory; " in absent.stderr
        assert "hint: try again later; images that are in the store can be used meanwhile" in absent.stderr
    finally:
        login.sh(gateway.START)


def test_the_check_knows_the_gateway(with_gateway: Cluster) -> None:
    done = with_gateway.run([PROGRAM, "check"], user="root")
    assert "image gateway: version " in done.stdout

"""Jobs whose image nobody has pulled, and jobs with private images: through a gateway on the login node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.configuration import configured

from sandbox import registry
from sandbox.images import fill_busybox
from sandbox.oci import ImageConfig, write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
SHIFTERIMG = "/opt/spank-container/bin/shifterimg"
PRIVATE = "registry.sandbox:5001"
SOCKET = "/run/spank-container-gateway/socket"
START = f"""
mkdir -p /run/spank-container-gateway /var/lib/spank-container-gateway
chown 7650 /run/spank-container-gateway /var/lib/spank-container-gateway
chown -R 7650 /shared/spank-container
setsid -f setpriv --reuid 7650 --regid 7650 --clear-groups env HOME=/var/lib/spank-container-gateway \
    {PROGRAM} gateway serve > /var/log/gateway.log 2>&1 < /dev/null
for try in $(seq 200); do [ ! -S {SOCKET} ] || exit 0; sleep 0.05; done
cat /var/log/gateway.log
exit 1
"""
STOP = "pkill -f '[g]ateway serve' && while pgrep -f '[g]ateway serve' > /dev/null; do sleep 0.05; done"
CONFIG = f'\n[gateway]\naddresses = ["unix:{SOCKET}"]\nretry_delay = 1\nattempts = 2\n'
ACCOUNT = "echo 'spank-container:x:7650:7650::/nonexistent:/usr/sbin/nologin' >> /etc/passwd"


@pytest.fixture(scope="module")
def gateway(site: Cluster) -> Iterator[Cluster]:
    login = site.members["login"]
    login.sh(f"grep -q spank-container: /etc/passwd || {ACCOUNT}")
    with configured([login], lambda text: text + CONFIG):
        login.sh(START)
        yield site
        login.sh(STOP)
    login.sh("chown -R root: /shared/spank-container; rm -rf /shared/spank-container/private")
    site.run("rm -rf ~/.config", user="alice")
    assert_nothing_left(site)


@pytest.fixture
def fresh(gateway: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An image of the test's own, in the open registry; nobody has pulled it."""
    name = "team/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-") + ":1"
    (tmp_path / "tree").mkdir()
    fill_busybox(tmp_path / "tree")
    write_layout(tmp_path / "layout", [tmp_path / "tree"], ImageConfig({"PATH": "/bin", "TEST": name}))
    gateway.push(tmp_path / "layout", name)
    return f"docker:docker.io/{name}"


@pytest.fixture
def secret(gateway: Cluster, fresh: str) -> Iterator[str]:
    """The same in the registry that wants a password, where alice is logged in."""
    public = fresh.removeprefix("docker:")
    reference = f"{PRIVATE}/{public.partition('/')[2]}"
    login = f"--dest-creds={registry.PRIVATE_USER}:{registry.PRIVATE_PASSWORD}"
    copied = gateway.run(["skopeo", "copy", "--quiet", login, f"docker://{public}", f"docker://{reference}"])
    assert copied.returncode == 0, copied.stderr
    argv = [PROGRAM, "login", PRIVATE, f"--username={registry.PRIVATE_USER}", "--password-stdin"]
    assert gateway.run(argv, user="alice", input=registry.PRIVATE_PASSWORD).returncode == 0
    yield f"docker:{reference}"
    gateway.run([PROGRAM, "logout", PRIVATE], user="alice")


def test_sbatch_returns_and_the_job_waits_for_its_image(gateway: Cluster, fresh: str) -> None:
    script = "#!/bin/bash\nsrun env | grep ^TEST="
    submitted = gateway.run(["sbatch", "--wait", "--output=pulled.out", f"--image={fresh}"], input=script)
    assert submitted.returncode == 0, submitted.stderr
    assert f"{fresh} is being pulled; the job waits for it" in submitted.stderr
    assert gateway.run(["cat", "pulled.out"]).stdout == f"TEST={fresh.removeprefix('docker:docker.io/')}\n"
    assert_idle(gateway)


def test_srun_waits_itself(gateway: Cluster, fresh: str) -> None:
    done = gateway.run(["srun", f"--image={fresh}", "sh", "-c", "echo $TEST"])
    assert done.stdout == f"{fresh.removeprefix('docker:docker.io/')}\n", done.stderr
    assert "being pulled" not in done.stderr
    assert gateway.run([PROGRAM, "pull", "--no-wait", fresh]).stdout.startswith(f"{fresh} ")


@pytest.mark.parametrize("job", [["sbatch", "--wrap=true"], ["srun", "true"]], ids=lambda job: str(job[0]))
def test_a_missing_tag_is_refused_with_the_registry_s_reason(gateway: Cluster, job: list[str]) -> None:
    done = gateway.run([job[0], "--image=docker:busybox:absent", *job[1:]])
    assert done.returncode != 0
    said = done.stderr
    assert "spank-container: cannot pull docker:docker.io/library/busybox:absent: " in said
    assert "manifest unknown" in said
    assert "hint: check the name and the tag" in said


def test_a_private_image_is_its_puller_s(gateway: Cluster, secret: str) -> None:
    mine = gateway.run(["srun", f"--image={secret}", "sh", "-c", "echo $TEST"], user="alice")
    assert mine.stdout.startswith("team/"), mine.stderr
    theirs = gateway.run(["srun", f"--image={secret}", "sh", "-c", "echo $TEST"], user="bob")
    assert theirs.returncode != 0
    assert "authentication required" in theirs.stderr
    assert "spank-container login registry.sandbox:5001" in theirs.stderr
    assert secret not in gateway.run([PROGRAM, "images"], user="bob").stdout
    assert secret in gateway.run([PROGRAM, "images"], user="alice").stdout


def test_who_is_let_in_may_run_it(gateway: Cluster, secret: str) -> None:
    pulled = gateway.run([PROGRAM, "pull", secret, "--user", "bob"], user="alice")
    assert pulled.returncode == 0, pulled.stderr
    assert gateway.run(["srun", f"--image={secret}", "sh", "-c", "echo $TEST"], user="bob").stdout.startswith("team/")
    shared = gateway.run([PROGRAM, "image", "share", secret], user="alice")
    assert shared.stdout.endswith("users= groups=\n"), shared.stderr
    again = gateway.run(["srun", f"--image={secret}", "true"], user="bob")
    assert again.returncode != 0


def test_a_forged_id_opens_no_private_image(gateway: Cluster, secret: str) -> None:
    """Past the submit checks: the request in the job's environment is bob's own to write."""
    pulled = gateway.run([PROGRAM, "pull", secret], user="alice").stdout
    digest = pulled.split()[1]
    for image in (f"id:{digest}", "docker:busybox"):
        request = f'{{"digest":"{digest}","image":"{image}","version":1,"volumes":[]}}'
        forged = f"export SPANK_CONTAINER_REQUEST='{request}' SLURM_SPANK_CONTAINER_REQUEST='{request}'"
        forged += f" SLURM_SPANK_CONTAINER_STEP_REQUEST='{request}'"
        script = f"#!/bin/bash\n{forged}\nsrun sh -c 'echo $TEST'\n"
        job = gateway.sbatch(script, "--image=docker:busybox", user="bob")
        assert "team/" not in job.output
        by_id = gateway.run(["srun", f"--image=id:{digest}", "sh", "-c", "echo $TEST"], user="bob")
        assert f"the image id:{digest} is not in the store" in by_id.stderr
    assert_idle(gateway)


def test_an_image_that_is_removed_is_gone_for_new_jobs(gateway: Cluster, secret: str) -> None:
    gateway.run([PROGRAM, "pull", secret], user="alice")
    refused = gateway.run([PROGRAM, "image", "rm", secret], user="bob")
    assert refused.returncode == 64
    assert "is not in the store" in refused.stderr
    removed = gateway.run([PROGRAM, "image", "rm", secret], user="alice")
    assert (removed.returncode, removed.stdout.split()[0]) == (0, "removed")
    assert secret not in gateway.run([PROGRAM, "images"], user="alice").stdout


def test_scripts_for_shifterimg_go_on(gateway: Cluster, fresh: str) -> None:
    absent = gateway.run([SHIFTERIMG, "lookup", fresh])
    assert (absent.returncode, absent.stdout, absent.stderr) == (1, "", "")
    pulled = gateway.run([SHIFTERIMG, "pull", fresh])
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.endswith("status: READY\n")
    digest = gateway.run([SHIFTERIMG, "lookup", fresh]).stdout.strip()
    ran = gateway.run(["srun", f"--image=id:{digest}", "sh", "-c", "echo $TEST"])
    assert ran.stdout.startswith("team/"), ran.stderr
    failed = gateway.run([SHIFTERIMG, "pull", "docker:busybox:absent"])
    assert failed.returncode == 1
    assert "status: FAILURE" in failed.stdout
    assert "manifest unknown" in failed.stderr


def test_without_the_gateway_what_is_there_runs_on(gateway: Cluster, fresh: str) -> None:
    login = gateway.members["login"]
    login.sh(STOP)
    try:
        there = gateway.run(["srun", "--image=docker:busybox", "sh", "-c", "echo here"])
        assert there.stdout == "here\n", there.stderr
        absent = gateway.run(["srun", f"--image={fresh}", "true"])
        assert absent.returncode != 0
        assert f"the image gateway does not answer (unix:{SOCKET}: No such file or directory)" in absent.stderr
        assert "hint: try again later; images that are in the store can be used meanwhile" in absent.stderr
    finally:
        login.sh(START)


def test_the_check_knows_the_gateway(gateway: Cluster) -> None:
    done = gateway.run([PROGRAM, "check"], user="root")
    assert "image gateway: version " in done.stdout

"""The image gateway on a real cluster, with alice and bob: pulling, private images, and forging past the gateway."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from sandbox import images, registry
from sandbox.command import run
from sandbox.network import LOGIN_ADDRESS
from sandbox.registry import PRIVATE
from sandbox.site_files import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster
    from sandbox.command import Completed

PROGRAM = "/opt/spank-container/bin/spank-container"
SECRET = f"docker:{PRIVATE}/secret/app:1"
SHARED = f"docker:{PRIVATE}/secret/shared:1"
ABSENT = f"sha256:{'0' * 64}"
LOOK = "#!/bin/sh\nsrun sh -c '. /etc/os-release; echo \"$PRETTY_NAME\"'\n"
SEEN = "BusyBox of the sandbox"
# A SPANK configuration of the user's own, whose plugin puts into the job whatever he likes.
FORGE = """
mkdir -p forged
cp /etc/slurm/*.conf forged
echo "required $(echo /opt/spank-container/lib/slurm-*/spank_container.so) command=$HOME/forged/submit" \\
    > forged/plugstack.conf
printf '#!/bin/sh\\nexec cat "$FORGED"\\n' > forged/submit
chmod +x forged/submit
cat > forged/request.json
"""
SUBMIT_FORGED = (
    "FORGED=$HOME/forged/request.json SLURM_CONF=$HOME/forged/slurm.conf "
    "sbatch --wait --output=forged/out --nodelist=n1 --partition=shared --image=x --wrap='srun cat /etc/os-release'; "
    "cat forged/out"
)


@pytest.fixture(scope="module")
def logged_in(with_gateway: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """alice is logged in at the registry that wants a password; bob has none."""
    for name in ("secret/app:1", "secret/shared:1"):
        _push(with_gateway, labelled(tmp_path_factory.mktemp("layout"), name), name)
    login = [PROGRAM, "login", PRIVATE, f"--username={registry.PRIVATE_USER}", "--password-stdin"]
    done = with_gateway.run(login, user="alice", input=registry.PRIVATE_PASSWORD)
    assert done.returncode == 0, done.stderr
    yield with_gateway
    for user in ("alice", "bob"):
        with_gateway.run("rm -rf ~/forged", user=user)


def labelled(folder: Path, name: str) -> Path:
    """The sandbox's busybox with a label: another image, as what is public once is public under every name."""
    busybox = next(layout for tag, layout in images.layouts().items() if "busybox" in tag)
    layout = shutil.copytree(busybox, folder / "layout")
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(_blob(layout, index["manifests"][0]).read_bytes())
    config = json.loads(_blob(layout, manifest["config"]).read_bytes())
    config["config"]["Labels"] = {"name": name}
    manifest["config"] |= _written(layout, config)
    index["manifests"][0] |= _written(layout, manifest)
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def _blob(layout: Path, descriptor: dict[str, str]) -> Path:
    return layout / "blobs" / descriptor["digest"].replace(":", "/")


def _written(layout: Path, document: object) -> dict[str, object]:
    data = json.dumps(document).encode()
    descriptor = {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    _blob(layout, descriptor).write_bytes(data)
    return {**descriptor, "size": len(data)}


def _push(site: Cluster, layout: Path, name: str) -> None:
    login = site.members["login"]
    trust = ("--dest-cert-dir", str(certificates() / "trust"))
    creds = ("--dest-creds", f"{registry.PRIVATE_USER}:{registry.PRIVATE_PASSWORD}")
    copy = ("skopeo", "copy", "--quiet", *trust, *creds, f"oci:{layout}", f"docker://{LOGIN_ADDRESS}:5001/{name}")
    run(["nsenter", "--target", str(login.pid), "--net", *copy])


def spank(site: Cluster, *words: str, user: str, node: str = "login") -> Completed:
    return site.run([PROGRAM, *words], user=user, node=node)


def names(site: Cluster, user: str, node: str = "login") -> set[str]:
    listed = json.loads(spank(site, "images", "--json", user=user, node=node).stdout)
    return {name for image in listed for name in image["names"]}


@pytest.fixture(scope="module")
def pulled(logged_in: Cluster) -> str:
    """alice's private image; its digest."""
    done = spank(logged_in, "pull", SECRET, user="alice")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1]


@pytest.mark.parametrize("node", ["login", "n1"])  # over the Unix socket, and over TCP with MUNGE
def test_a_user_pulls(logged_in: Cluster, node: str) -> None:
    done = spank(logged_in, "pull", "docker:busybox", user="bob", node=node)
    assert (done.returncode, done.stderr) == (0, "")
    assert "docker:docker.io/library/busybox:latest" in names(logged_in, "alice", node)


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("node", ["login", "n1"])
def test_a_private_image_is_listed_for_its_puller_alone(logged_in: Cluster, node: str) -> None:
    assert SECRET in names(logged_in, "alice", node)
    assert SECRET not in names(logged_in, "bob", node)


@pytest.mark.usefixtures("pulled")
def test_its_pullers_job_runs(logged_in: Cluster) -> None:
    job = logged_in.sbatch(LOOK, f"--image={SECRET}", user="alice")
    assert (job.state, job.output.strip()) == ("COMPLETED", SEEN)


@pytest.mark.usefixtures("pulled")
def test_anothers_is_refused_with_the_registrys_words(logged_in: Cluster) -> None:
    done = logged_in.run(["sbatch", f"--image={SECRET}", "--wrap=true"], user="bob")
    assert done.returncode != 0
    assert f"spank-container: cannot pull {SECRET}: " in done.stderr
    assert "unauthorized" in done.stderr or "authentication required" in done.stderr


def test_its_id_is_no_key(logged_in: Cluster, pulled: str) -> None:
    done, absent = (
        logged_in.run(["sbatch", f"--image=id:{digest}", "--wrap=true"], user="bob") for digest in (pulled, ABSENT)
    )
    assert done.returncode == absent.returncode != 0
    assert done.stderr.replace(pulled, "X") == absent.stderr.replace(ABSENT, "X")


def test_a_forged_id_is_no_key_either(logged_in: Cluster, pulled: str) -> None:
    said, of_absent = (forged(logged_in, digest, "bob") for digest in (pulled, ABSENT))
    assert "the image id:X is not in the store" in said
    assert SEEN not in said
    assert said == of_absent
    assert logged_in.node_state("n1") in {"idle", "mixed"}
    assert SEEN in forged(logged_in, pulled, "alice")  # the forgery itself works


def forged(site: Cluster, digest: str, user: str) -> str:
    """What such a job prints, less what differs from job to job."""
    request = {"digest": digest, "image": SECRET, "version": 1, "volumes": []}
    site.run(FORGE, user=user, input=json.dumps(request))
    printed = site.run(SUBMIT_FORGED, user=user).stdout.replace(digest, "X")
    told = [line.partition("spank-container: ")[2] or line for line in printed.splitlines()]
    return "\n".join(line for line in told if "image" in line or "PRETTY_NAME" in line)


@pytest.mark.usefixtures("pulled")
def test_whom_the_puller_lets_in(logged_in: Cluster) -> None:
    done = spank(logged_in, "pull", "--group", "project-bob", SHARED, user="alice")
    assert done.returncode == 0, done.stderr
    assert SHARED in names(logged_in, "bob")
    job = logged_in.sbatch(LOOK, f"--image={SHARED}", user="bob")
    assert (job.state, job.output.strip()) == ("COMPLETED", SEEN)
    done = spank(logged_in, "pull", SHARED, user="alice")
    assert done.returncode == 0, done.stderr
    assert SHARED not in names(logged_in, "bob")


def test_a_job_brings_its_image(logged_in: Cluster, tmp_path: Path) -> None:
    """Not in the store at submit: sbatch asks for it, and the job waits."""
    logged_in.push(labelled(tmp_path, "fresh"), "library/fresh:1")
    job = logged_in.sbatch(LOOK, "--image=docker:fresh:1", user="bob")
    assert (job.state, job.output.strip().splitlines()[-1]) == ("COMPLETED", SEEN)
    assert "docker:docker.io/library/fresh:1" in names(logged_in, "alice")

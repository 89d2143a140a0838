"""Logins at the registry that wants a password: kept in the user's home, used by the next pull, forgotten again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sandbox import cluster as sandbox_cluster
from sandbox import registry
from sandbox.registry import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.command import Completed

PROGRAM = "/opt/spank-container/bin/spank-container"
KEPT = ".config/containers/auth.json"


@pytest.fixture(autouse=True)
def clean_home(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.run(f"rm -rf ~/{KEPT} ~/.docker", user="alice")


def log_in(cluster: Cluster, password: str, user: str = "alice") -> Completed:
    argv = [PROGRAM, "login", PRIVATE, f"--username={registry.PRIVATE_USER}", "--password-stdin"]
    return cluster.run(argv, user=user, input=password)


def test_a_login_is_kept_for_its_user_alone(cluster: Cluster) -> None:
    done = log_in(cluster, registry.PRIVATE_PASSWORD)
    assert (done.returncode, done.stdout) == (0, f"alice is logged in to {PRIVATE} [/home/alice/{KEPT}]\n")
    file = sandbox_cluster.DATA / "home/alice" / KEPT
    assert file.stat().st_mode & 0o7777 == 0o600
    assert list(json.loads(file.read_text())["auths"]) == [PRIVATE]


def test_skopeo_and_spank_container_share_their_logins(cluster: Cluster) -> None:
    log_in(cluster, registry.PRIVATE_PASSWORD)
    push = ["skopeo", "copy", "--quiet", "docker://busybox", f"docker://{PRIVATE}/mine:1"]
    assert cluster.run(push, user="alice").returncode == 0
    assert cluster.run(["skopeo", "inspect", "--raw", f"docker://{PRIVATE}/mine:1"], user="alice").returncode == 0


def test_a_wrong_password_is_told_and_not_kept(cluster: Cluster) -> None:
    done = log_in(cluster, "wunderland")
    assert done.returncode == 64
    assert done.stderr.startswith(f"spank-container: cannot log in to {PRIVATE}: ")
    assert "hint: check the name and the password" in done.stderr
    assert "wunderland" not in done.stderr
    assert not (sandbox_cluster.DATA / "home/alice" / KEPT).exists()


def test_who_logs_out_is_forgotten(cluster: Cluster) -> None:
    log_in(cluster, registry.PRIVATE_PASSWORD)
    done = cluster.run([PROGRAM, "logout", PRIVATE], user="alice")
    assert (done.returncode, done.stdout) == (0, f"you are logged out of {PRIVATE} [/home/alice/{KEPT}]\n")
    again = cluster.run([PROGRAM, "logout", PRIVATE], user="alice")
    assert again.returncode == 64
    assert again.stderr == (
        f"spank-container: you are not logged in to {PRIVATE}\nhint: spank-container login {PRIVATE}\n"
    )


def test_without_a_terminal_the_password_is_asked_for_nowhere(cluster: Cluster) -> None:
    done = cluster.run(["setsid", PROGRAM, "login", PRIVATE, "--username=alice"], user="alice", input="")
    assert (done.returncode, done.stderr) == (
        64,
        "spank-container: there is no terminal to ask on\nhint: give --password-stdin\n",
    )

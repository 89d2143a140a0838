"""Jobs side by side on one node: each has its own, and the end of one takes nothing from the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.background import running
from cluster.output import sections

from sandbox import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

ON_N1 = ("--partition=shared", "--nodelist=n1")
LOOK = """
look() {
    echo "== $1 image"; srun sh -c '. /etc/os-release; echo "$PRETTY_NAME"'
    echo "== $1 uid"; srun id -u
    echo "== $1 files"; srun sh -c "touch /tmp/of-$USER /dev/shm/of-$USER /mnt/of-$USER; echo /tmp/of-* /dev/shm/of-* /mnt/of-*"
    echo "== $1 mount"; srun sh -c 'grep " /mnt " /proc/self/mounts | { read device rest; echo "$device"; }'
}
look before
pause both
look after
pause end
"""


def cache(user: str) -> str:
    return f"--volume=/shared/{user}/cache:/mnt:perNodeCache=size=16M,fs=ext4"


def image_mounts(site: Cluster) -> list[str]:
    left = leftovers.of_node(site.members["n1"])
    return [target for target in left.mounts if target.startswith("/run/spank-container/images/")]


@pytest.fixture(scope="module")
def printed(site: Cluster) -> dict[str, dict[str, str]]:
    """What alice's and bob's jobs print before and after the end of another job that is alice's."""
    alices = running(site, LOOK, *ON_N1, "--image=docker:busybox", cache("alice"))
    bobs = running(site, LOOK, *ON_N1, "--image=docker:debian:trixie", cache("bob"), user="bob")
    with alices as alice, bobs as bob:
        for job in (alice, bob):
            job.reach("both")
        assert len(image_mounts(site)) == 2
        alice.go("both")
        alice.go("end")
        said = alice.wait().output
        assert len(image_mounts(site)) == 1
        bob.go("both")
        bob.reach("end")
        bob.go("end")
        return {"alice": sections(said), "bob": sections(bob.wait().output)}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("user", "uid", "image"),
    [("alice", 2001, "BusyBox of the sandbox"), ("bob", 2002, "Debian GNU/Linux 13 (trixie)")],
)
def test_each_has_an_image_of_its_own(
    printed: dict[str, dict[str, str]], when: str, user: str, uid: int, image: str
) -> None:
    assert (printed[user][f"{when} image"], printed[user][f"{when} uid"]) == (f"{image}\n", f"{uid}\n")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("user", ["alice", "bob"])
def test_each_has_private_places(printed: dict[str, dict[str, str]], when: str, user: str) -> None:
    assert printed[user][f"{when} files"].split() == [f"{place}/of-{user}" for place in ("/tmp", "/dev/shm", "/mnt")]


def test_each_has_a_cache_on_a_device_of_its_own(printed: dict[str, dict[str, str]]) -> None:
    assert printed["alice"]["before mount"] != printed["bob"]["before mount"]
    assert printed["bob"]["before mount"] == printed["bob"]["after mount"]


@pytest.fixture
def clean_afterwards(site: Cluster) -> Iterator[None]:
    yield
    assert_nothing_left(site)


@pytest.mark.usefixtures("clean_afterwards")
def test_jobs_with_one_image_share_one_mount(site: Cluster) -> None:
    script = "pause first; srun sh -c true && echo still there; pause second"
    jobs = [running(site, script, *ON_N1, "--image=docker:busybox", user=user) for user in ("alice", "bob")]
    with jobs[0] as alice, jobs[1] as bob:
        alice.reach("first")
        bob.reach("first")
        (mount,) = image_mounts(site)
        assert site.members["n1"].sh(f"ls {mount}.leases").split() == sorted([str(alice.id), str(bob.id)], key=int)
        alice.go("first")
        alice.go("second")
        alice.wait()
        assert image_mounts(site) == [mount]
        bob.go("first")
        bob.go("second")
        assert "still there" in bob.wait().output

"""Thirty-two jobs of two users at once on one node, each with a cache and a volume: nobody gets anybody else's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left

from sandbox import leftovers
from sandbox.cluster import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.cluster import Cluster

USERS = ("alice", "bob")
EACH = 16
ALL = [(user, number) for user in USERS for number in range(EACH)]

# Every job waits in its container until all are in theirs.
TASK = r"""#!/bin/sh
mine="$USER $(cat /data/number)"
for place in /tmp /dev/shm /cache; do
    echo "$place has $(ls -A $place | grep -v lost+found)"
    echo "$mine" > $place/pattern
done
pattern() { for line in $(seq 2000); do echo "$mine $line"; done; }
pattern > /cache/large
grep ' /cache ' /proc/self/mounts > /data/device
touch /data/here
until [ -e /data/go ]; do sleep 0.2; done
for place in /tmp /dev/shm /cache; do echo "$place has $(cat $place/*)" | head -n 1; done
pattern | cmp - /cache/large && echo whole
echo /data has $(cat /data/number): $(ls /data)
"""
START = f"""
cd /shared/$USER && rm -rf many && mkdir many && cat > many/task && chmod +x many/task
for number in $(seq 0 {EACH - 1}); do
    folder=/shared/$USER/many/$number
    mkdir $folder && echo $number > $folder/number
    sbatch --quiet --nodelist=n1 --partition=shared --output=$folder/output --image=docker:debian:trixie \\
        --volume=$folder:/data --volume=/shared/$USER:/cache:perNodeCache=size=16M,fs=ext4 \\
        --wrap "srun --quiet /shared/$USER/many/task" --volume=/shared/$USER/many/task:/shared/$USER/many/task:ro
done
"""


def folder(user: str, number: int) -> Path:
    return DATA / "shared" / user / "many" / str(number)


def expected(user: str, number: int) -> str:
    mine = f"{user} {number}"
    before = "/tmp has \n/dev/shm has \n/cache has \n"
    after = f"/tmp has {mine}\n/dev/shm has {mine}\n/cache has {mine} 1\nwhole\n"
    return f"{before}{after}/data has {number}: device go here number output\n"


@pytest.fixture(scope="module")
def together(site: Cluster) -> Iterator[Cluster]:
    """All of them, in their containers at the same time."""
    for user in USERS:
        done = site.run(START, user=user, input=TASK)
        assert done.returncode == 0, done.stderr
    try:
        wait_for("here", site)
        yield site
    finally:
        for user, number in ALL:
            (folder(user, number) / "go").touch()


def wait_for(name: str, site: Cluster, seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while missing := [one for one in ALL if not (folder(*one) / name).exists()]:
        assert time.monotonic() < deadline, (missing, site.run(["squeue"]).stdout)
        time.sleep(0.1)


def test_all_share_one_image(together: Cluster) -> None:
    """One mount of the image, and a device for every cache."""
    left = leftovers.of_node(together.members["n1"])
    (image,) = [target for target in left.mounts if target.startswith("/run/spank-container/images/")]
    assert len(together.members["n1"].sh(f"ls {image}.leases").split()) == len(ALL)
    assert len(left.namespaces) == len(ALL)
    assert len({(folder(*one) / "device").read_text() for one in ALL}) == len(ALL)


def test_each_has_its_own_and_nothing_is_left(together: Cluster) -> None:
    for user, number in ALL:
        (folder(user, number) / "go").touch()
    done = together.run(
        "while squeue --noheader --partition=shared | grep -q .; do sleep 0.2; done; squeue", user="root"
    )
    assert done.returncode == 0
    outputs = {one: (folder(*one) / "output").read_text() for one in ALL}
    assert outputs == {one: expected(*one) for one in ALL}
    assert_nothing_left(together)

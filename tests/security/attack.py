"""How attacks are made: as an ordinary user, with Slurm's commands, by hand or as fast as a machine can."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from cluster.output import sections
from real_cluster import PROGRAM
from security.hostile_registry import NAME

from sandbox.releases import DEFAULT, RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.command import Completed

# What does not depend on Slurm's release is tried on one. The very object of RELEASES: pytest tells a fixture's
# parameters apart by identity.
ON_ONE_RELEASE = pytest.mark.parametrize(
    "cluster",
    [next(release.slurm for release in RELEASES if release.slurm == DEFAULT)],
    ids="slurm-{}".format,
    indirect=True,
    scope="session",
)
BUSYBOX = "--image=docker:busybox"
DEBIAN = "--image=docker:debian:trixie"

# Exchanges the names A and B, which lie side by side, again and again: at any moment A is one or the other.
FLIP = r"""
import ctypes, os, sys, time
libc, a, b = ctypes.CDLL(None), sys.argv[1].encode(), sys.argv[2].encode()
end = time.monotonic() + 60
while time.monotonic() < end and not os.path.exists(sys.argv[1] + ".stop"):
    for _ in range(200):
        assert libc.renameat2(-100, a, -100, b, 2) == 0  # RENAME_EXCHANGE
        time.sleep(0.0002)
"""


def hostile_image(name: str) -> str:
    return f"--image=docker:{NAME}/{name}:1.0"


def step(site: Cluster, script: str, *options: str, user: str = "alice") -> Completed:
    """Run an sh `script` as a step of its own job on n1."""
    return site.run(["srun", "--quiet", "--nodelist=n1", "--partition=shared", *options, "sh", "-c", script], user=user)


def seen(site: Cluster, script: str, *options: str, user: str = "alice") -> dict[str, str]:
    """The same, of a script that prints headings; it must not fail."""
    done = step(site, script, *options, user=user)
    assert done.returncode == 0, done.stderr
    return sections(done.stdout)


def words(printed: str) -> list[str]:
    """Our own lines in what a job printed, without what Slurm puts before them."""
    return re.findall(r"error: spank-container: (.*)$", printed, re.MULTILINE)


FORGE = """
rm -rf forged && mkdir -p forged/requests && cp /etc/slurm/*.conf forged
echo "required $(echo /opt/spank-container/lib/slurm-*/spank_container.so) command=$HOME/forged/submit" \\
    > forged/plugstack.conf
printf '#!/bin/sh\\nexec cat "$REQUEST"\\n' > forged/submit && chmod +x forged/submit
cd forged/requests
number=100; while read -r request; do number=$((number + 1)); echo "$request" > $number; done
"""
TRY = """
for request in $HOME/forged/requests/*; do
    echo "== ${request##*/}"
    REQUEST=$request SLURM_CONF=$HOME/forged/slurm.conf srun --quiet --nodes=1 --image=x sh -c "$1" 2>&1
    echo "status $?"
done
"""


def forge(site: Cluster, *requests: dict[str, object]) -> None:
    """Let alice's requests say what she likes: a slurm.conf of her own leads past our check at submit."""
    asked = site.run([PROGRAM, "submit", BUSYBOX])
    assert asked.returncode == 0, asked.stderr
    good = json.loads(asked.stdout.splitlines()[0])
    lines = "".join(f"{json.dumps(good | members)}\n" for members in requests)
    assert site.run(FORGE, input=lines).returncode == 0


def forged(site: Cluster, script: str, *requests: dict[str, object]) -> list[str]:
    """What steps of one job on n1 with these requests print, and the status of each; the job itself asks for nothing."""
    forge(site, *requests)
    allocation = ("salloc", "--quiet", "--nodelist=n1", "--partition=shared")
    done = site.run([*allocation, "bash", "-c", TRY, "try", script])
    assert done.returncode == 0, done.stderr
    outcomes = list(sections(done.stdout).values())
    assert len(outcomes) == len(requests)
    return outcomes


def volume(*texts: str) -> dict[str, object]:
    """The member of a request that asks for these volumes."""
    return {"volumes": list(texts)}


@contextlib.contextmanager
def flipping(site: Cluster, name: str, other: str, user: str = "alice") -> Iterator[None]:
    """While the body runs, n1 sees `name` and `other` exchanged thousands of times a second."""
    start = f'rm -f {name}.stop; python3 -c "$(cat)" {name} {other} > {name}.log 2>&1 & echo $!'
    site.run(start, user=user, node="n1", input=FLIP)
    try:
        yield
    finally:
        end = f"touch {name}.stop; sleep 0.1; cat {name}.log; rm {name}.stop {name}.log"
        assert site.run(end, user=user, node="n1").stdout == ""

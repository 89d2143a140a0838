"""What cannot work is refused at submit, in words; what was forged past that fails the job, and never the node."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections, without_slurm

from sandbox import jobs

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
IMAGE = "--image=docker:busybox"
REFUSALS = {
    "a name that is none": (
        ["--image=docker:Busy box:1"],
        """\
spank-container: --image: this is no image name
    docker:Busy box:1
           ^~~~~~~~
hint: lower-case letters and digits, with '.', '_', '-' and '/' between them
""",
    ),
    "an empty tag": (
        ["--image=docker:busybox:"],
        """\
spank-container: --image: the tag is empty
    docker:busybox:
                   ^
hint: give a tag (app:1.2) or a digest (app@sha256:...)
""",
    ),
    "an image that is not there": (
        ["--image=docker:absent:1"],
        """\
spank-container: the image docker:docker.io/library/absent:1 is not in the store
hint: spank-container pull docker:docker.io/library/absent:1
""",
    ),
    "a volume of somebody else's": (
        [IMAGE, "--volume=/shared/bob/private/data:/data"],
        """\
spank-container: --volume: /shared/bob/private/data: Permission denied
hint: check the path, and that you may read it
""",
    ),
    "a volume that is not there": (
        [IMAGE, "--volume=/shared/absent:/data"],
        """\
spank-container: --volume: /shared/absent: No such file or directory
hint: check the path, and that you may read it
""",
    ),
    "a size that makes no sense": (
        [IMAGE, "--volume=/shared/alice/cache:/mnt:perNodeCache=size=10 apples"],
        """\
spank-container: --volume: this is no size
    /shared/alice/cache:/mnt:perNodeCache=size=10 apples
                                               ^~~~~~~~~
hint: write 500M, 1.5G or 4T
""",
    ),
    "a size that does not fit": (
        [IMAGE, "--volume=/shared/alice/cache:/mnt:perNodeCache=size=7E"],
        """\
spank-container: perNodeCache: 7E do not fit into the FREE that are free [/shared/alice/cache]
hint: ask for less, or name another place
""",
    ),
    "a cache in a place of somebody else's": (
        [IMAGE, "--volume=/shared/bob/cache:/mnt:perNodeCache=size=1G"],
        """\
spank-container: perNodeCache: making a file of 1G: Permission denied [/shared/bob/cache]
hint: name a folder that exists, that you may write, and that has room
""",
    ),
    "a flag that is none": (
        [IMAGE, "--volume=/shared/alice:/data:rox"],
        """\
spank-container: --volume: there is no such flag
    /shared/alice:/data:rox
                        ^~~
hint: ro, rw and perNodeCache=size=... are known, with a : between them
""",
    ),
    "a protected target": (
        [IMAGE, "--volume=/shared/alice:/etc/ssh"],
        """\
spank-container: --volume: /etc belongs to the container itself
    /shared/alice:/etc/ssh
                  ^~~~~~~~
hint: choose a target outside /etc, /proc, /sys, /dev, /opt/spank-container, /opt/udiImage
""",
    ),
    "a volume without an image": (
        ["--volume=/shared/alice:/data"],
        """\
spank-container: --volume needs an image
hint: add --image=docker:NAME:TAG
""",
    ),
}


COMMANDS = {"sbatch": ["--wrap", "true"], "salloc": ["true"], "srun": ["true"]}
Outcomes = dict[str, str]


def make_private_folder(site: Cluster) -> None:
    site.run(
        "mkdir -p /shared/bob/private && chmod 700 /shared/bob/private && touch /shared/bob/private/data", user="bob"
    )


@pytest.fixture(scope="module")
def refused(site: Cluster) -> Outcomes:
    """What every command printed and its status; before and after all of them the number of an ordinary job."""
    make_private_folder(site)
    submit = "sbatch --parsable --output=/dev/null --wrap true"
    script = ["echo '== before'", submit]
    for command, rest in COMMANDS.items():
        for what, (options, _) in REFUSALS.items():
            script += [f'echo "== {command}, {what}"', f"{shlex.join([command, *options, *rest])} 2>&1", "echo $?"]
    return sections(site.run("\n".join([*script, "echo '== after'", submit])).stdout)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", REFUSALS)
def test_it_is_refused(refused: Outcomes, what: str, command: str) -> None:
    said = without_slurm(refused[f"{command}, {what}"])
    assert re.sub(r"the \d+M that", "the FREE that", said) == f"{REFUSALS[what][1]}1\n"


def test_nothing_was_queued(refused: Outcomes) -> None:
    """A job's number is used up when it is queued."""
    assert int(refused["after"]) == int(refused["before"]) + 1


def test_root_gets_no_container(site: Cluster) -> None:
    done = site.run(["srun", IMAGE, "true"], user="root")
    words = "spank-container: root's jobs get no container on this cluster\nhint: submit as an ordinary user\n"
    assert (done.returncode, without_slurm(done.stderr)) == (1, words)


# A user's own slurm.conf leads to a plugstack.conf with our plugin and a program of the user's in place of ours.

FORGERY = """
mkdir -p forged
cp /etc/slurm/*.conf forged
echo "required $(echo /opt/spank-container/lib/slurm-*/spank_container.so) command=$HOME/forged/submit" \\
    > forged/plugstack.conf
printf '#!/bin/sh\\nexec cat "$FORGED"\\n' > forged/submit
chmod +x forged/submit
"""
START = """
for name in $(ls forged/*.json); do
    FORGED=$HOME/$name SLURM_CONF=$HOME/forged/slurm.conf sbatch --parsable --nodelist=n1 --partition=shared --image=x \\
        --output=$name.out --wrap 'echo it runs; srun echo and this'
done
"""


@dataclass(frozen=True, slots=True)
class Forgery:
    """Members of the request that differ from a good one, or its whole text; and the first line that the job prints."""

    said: str
    members: dict[str, object]
    text: str = ""


FORGERIES = {
    "absent": Forgery(f"the image id:sha256:{'0' * 64} is not in the store", {"digest": f"sha256:{'0' * 64}"}),
    "escape": Forgery("this is no digest", {"digest": "sha256:../../../shared/alice/evil"}),
    "entrypoint": Forgery("--image-entrypoint: the image has no entrypoint", {"entrypoint": ""}),
    "flag": Forgery("--volume: there is no such flag", {"volumes": ["/shared/alice:/data:suid"]}),
    "garbage": Forgery("SPANK_CONTAINER_REQUEST does not hold a container request", {}, "{{{}"),
    "join": Forgery("this job has no container here that a step could join", {"joins": True}),
    "missing": Forgery("--volume: /shared/absent: No such file or directory", {"volumes": ["/shared/absent:/data"]}),
    "private": Forgery(
        "--volume: /shared/bob/private/data: Permission denied", {"volumes": ["/shared/bob/private/data:/data"]}
    ),
    "protected": Forgery("--volume: /etc belongs to the container itself", {"volumes": ["/shared/alice:/etc"]}),
    "roots": Forgery("--volume: /etc/munge/munge.key: Permission denied", {"volumes": ["/etc/munge/munge.key:/key"]}),
    "size": Forgery("--volume: the size is out of range", {"volumes": ["/shared/alice:/mnt:perNodeCache=size=0"]}),
    "variable": Forgery(
        "--image-env: SLURM_JOB_ID is not for you to set: Slurm tells a task with it what it is",
        {"environment": ["SLURM_JOB_ID=1"]},
    ),
    "version": Forgery("SPANK_CONTAINER_REQUEST does not hold a container request", {"version": 2}),
    "workdir": Forgery("--image-workdir: /proc is no place to work in", {"workdir": "/proc/self/fd/3"}),
}


@pytest.fixture(scope="module")
def forged(site: Cluster) -> dict[str, jobs.Job]:
    """The jobs of all forgeries, which ran at the same time on one node."""
    make_private_folder(site)
    good = json.loads(site.run([PROGRAM, "submit", IMAGE]).stdout.splitlines()[0])
    site.run(FORGERY)
    for name, forgery in FORGERIES.items():
        text = forgery.text or json.dumps(good | forgery.members)
        site.run(f"cat > forged/{name}.json", input=text)
    started = site.run(START)
    assert len(started.stdout.split()) == len(FORGERIES), started.stderr
    numbers = dict(zip(sorted(FORGERIES), started.stdout.split(), strict=True))
    return {name: jobs.wait(site.members["login"], int(number)) for name, number in numbers.items()}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_request_fails_the_job_with_the_reason(forged: dict[str, jobs.Job], name: str) -> None:
    job = forged[name]
    assert (job.state, job.exit_code) == ("FAILED", 1)
    assert f"error: spank-container: {FORGERIES[name].said}\n" in job.output.splitlines(keepends=True)[0]
    assert "hint: " in job.output
    assert "it runs" not in job.output


def test_a_forged_request_costs_no_node(forged: dict[str, jobs.Job], site: Cluster) -> None:
    assert forged
    assert_nothing_left(site)


STEPS = """
for name in $(ls forged/*.json); do
    echo "== $(basename $name .json)"
    FORGED=$HOME/$name SLURM_CONF=$HOME/forged/slurm.conf srun --image=x echo it runs 2>&1
    echo "status $?"
done
echo "== ordinary"; srun echo it runs
"""


@pytest.fixture(scope="module")
def forged_steps(site: Cluster, forged: dict[str, jobs.Job]) -> Outcomes:
    """The same from srun, in an allocation that asked for nothing."""
    assert forged
    return sections(site.run(["salloc", "--nodelist=n1", "bash", "-c", STEPS]).stdout)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_request_of_a_step_fails_the_step_with_the_reason(forged_steps: Outcomes, name: str) -> None:
    said = forged_steps[name].splitlines()
    assert any(line.endswith(f" error: spank-container: {FORGERIES[name].said}") for line in said)
    assert "status 1" in said
    assert "it runs" not in said


def test_a_forged_request_of_a_step_costs_nothing_but_the_step(forged_steps: Outcomes, site: Cluster) -> None:
    assert forged_steps["ordinary"] == "it runs\n"
    assert_nothing_left(site)


@pytest.mark.parametrize("forged_text", ["", "garbage"])
def test_a_variable_of_the_users_never_means_the_host(site: Cluster, forged_text: str) -> None:
    """What the plugin sets for a job, a user can set without it; no Prolog knows of that, so there is no container."""
    text = forged_text or site.run([PROGRAM, "submit", IMAGE]).stdout.splitlines()[0]
    done = site.run(["env", f"SLURM_SPANK_CONTAINER_REQUEST={text}", "srun", "hostname"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "spank-container: the Prolog did not prepare this node" in done.stderr

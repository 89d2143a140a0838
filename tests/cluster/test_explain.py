"""What `explain` says on the login node is what the job then gets on its node, and what is recorded there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.background import running
from cluster.output import sections, without_slurm

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

PROGRAM = "/opt/spank-container/bin/spank-container"
OPTIONS = [
    "--image=docker:debian:trixie",
    "--volume=/shared/alice:/data:ro",
    "--volume=/shared/alice/cache:/mnt:perNodeCache=size=16M,fs=ext4",
    "--image-env=GREETING=hello",
    "--image-workdir=/data",
]
LOOK = """
srun sh -c 'echo "== mounts"; cat /proc/self/mountinfo; echo "== variables"; env; echo "== workdir"; pwd'
pause look
"""


def explained(site: Cluster, *options: str) -> dict[str, Any]:
    done = site.run([PROGRAM, "explain", *options, "--json"])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def seen(site: Cluster) -> dict[str, Any]:
    """What was explained, what the job printed, and what its node had recorded meanwhile."""
    explanation = explained(site, *OPTIONS)
    with running(site, LOOK, "--nodelist=n1", *OPTIONS) as job:
        job.reach("look")
        record = f"/run/spank-container/jobs/{job.id}/record.json"
        recorded = site.run([PROGRAM, "plan", f"--record={record}", "--json"], user="root", node="n1")
        assert recorded.returncode == 0, recorded.stderr
        job.go("look")
        return {"explained": explanation, "recorded": json.loads(recorded.stdout), "job": sections(job.wait().output)}


def mounts(printed: str) -> dict[str, set[str]]:
    """Targets and options."""
    lines = [line.split() for line in printed.splitlines() if " - " in line]
    return {words[4]: set(words[5].split(",")) for words in lines}


def test_every_mount_is_there_as_explained(seen: dict[str, Any]) -> None:
    there = mounts(seen["job"]["mounts"])
    rows = {row["path"]: row for row in seen["explained"]["shown"] if row["how"]}
    assert {"/", "/data", "/mnt", "/tmp", "/home/alice", "/etc/hosts"} <= rows.keys()
    for path, row in rows.items():
        wanted = {option for option in row["how"] if " " not in option}
        assert wanted <= there[path], f"{path}: {there[path]}"


def test_no_mount_is_there_that_is_not_explained(seen: dict[str, Any]) -> None:
    """But what the node has mounted below its own /proc, /sys and /dev."""
    explained_ = {row["path"] for row in seen["explained"]["shown"]}
    others = mounts(seen["job"]["mounts"]).keys() - explained_
    assert [path for path in others if not path.startswith(("/proc/", "/sys/", "/dev/"))] == []


def test_every_variable_is_as_explained(seen: dict[str, Any]) -> None:
    task = dict(line.split("=", 1) for line in seen["job"]["variables"].splitlines() if "=" in line)
    for one in seen["explained"]["variables"]:
        assert task.get(one["name"]) == one["value"], one
    assert task["GREETING"] == "hello"


def test_the_task_works_where_it_was_explained(seen: dict[str, Any]) -> None:
    assert seen["job"]["workdir"].splitlines()[0] == seen["explained"]["workdir"] == "/data"


@pytest.mark.parametrize("part", ["shown", "variables", "workdir", "entrypoint", "keeps"])
def test_the_record_says_the_same(seen: dict[str, Any], part: str) -> None:
    assert seen["recorded"][part] == seen["explained"][part]


def test_a_record_is_not_for_users(site: Cluster) -> None:
    done = site.run([PROGRAM, "plan", "--record=/run/spank-container/jobs/1/record.json"], node="n1")
    assert done.returncode == 64
    assert done.stderr == (
        "spank-container: --record: /run/spank-container/jobs/1/record.json: Permission denied\n"
        "hint: records are root's, on the node, while the job runs: /run/spank-container/jobs/JOB/record.json\n"
    )


@pytest.mark.parametrize(
    "options", [["--image=docker:absent"], ["--image=docker:busybox", "--volume=/root:/x"], ["--image=docker:busybox:"]]
)
def test_a_refusal_is_the_one_of_sbatch(site: Cluster, options: list[str]) -> None:
    refusals = [
        site.run(command, input="#!/bin/sh\n")
        for command in ([PROGRAM, "explain", *options], ["sbatch", "--output=/dev/null", *options])
    ]
    assert all(done.returncode for done in refusals)
    assert refusals[0].stderr == without_slurm(refusals[1].stderr)


def test_explaining_leaves_nothing(site: Cluster) -> None:
    assert_nothing_left(site)

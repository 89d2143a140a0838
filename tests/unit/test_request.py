"""The request, as the plugin writes it and as a user may forge it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from builders import DIGEST, OTHER_DIGEST, job, request

from spank_container.errors import NodeError, UserError
from spank_container.request import (
    JobRequest,
    job_from_environment,
    parse_request,
    parse_volume_options,
    step_surroundings,
    surrounded,
)
from spank_container.values.job import Job, StepSurroundings
from spank_container.values.task import TaskSpec
from spank_container.values.volume import ContainerPath, HostPath
from spank_container.values.writable import WritableSpec

FORGED = "SPANK_CONTAINER_REQUEST does not hold a container request\nhint: do not set it by hand; submit with --image and --volume"
TOO_LONG = "the job's container request is too long\nhint: use fewer or shorter volumes and variables"


def text(**changes: Any) -> str:  # noqa: ANN401  # whatever a user may write there
    """A request as JSON; a member that is ... is left out."""
    known = {"digest": DIGEST, "image": "debian", "version": 1, "volumes": ["/a:/b"]} | changes
    return json.dumps({name: value for name, value in known.items() if value is not ...})


def refusal(forged: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_request(forged)
    return caught.value.report()


def test_the_canonical_form_is_one_line_with_sorted_keys() -> None:
    asked = request("/é:/b;/scratch/f:/mnt:perNodeCache=size=1024M", image="debian")
    assert asked.to_json() == (
        f'{{"digest":"{DIGEST}","image":"docker:docker.io/library/debian:latest","version":1,'
        '"volumes":["/\\u00e9:/b","/scratch/f:/mnt:perNodeCache=size=1G,fs=xfs"]}'
    )


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request("/a:/b:ro;/c:/d", "/e:/f:perNodeCache=size=1G,fs=ext4,bs=4k"),
        request(image=f"id:{DIGEST}"),
        request(image=f"r.io:5000/a/b:c@{OTHER_DIGEST}"),
        replace(
            request(), task=TaskSpec(("A=", "B=x=y\n\udcff"), clear_environment=True, workdir="/x", entrypoint="a b")
        ),
        replace(request(), task=TaskSpec(workdir="", entrypoint="")),
        replace(request(), writable=WritableSpec()),
        replace(request(), writable=WritableSpec(size=10 << 30)),
        replace(request("/a:/mnt:perNodeCache=size=1G"), writable=WritableSpec(cache=ContainerPath("/mnt"))),
        replace(request(), joins=True, typed="debian:trixie"),
    ],
)
def test_what_was_written_is_read(asked: JobRequest) -> None:
    assert parse_request(asked.to_json()) == asked


def test_what_says_nothing_is_left_out_and_what_is_empty_is_not() -> None:
    asked = replace(request(), task=TaskSpec(("A=1",), workdir="", entrypoint=""), writable=WritableSpec())
    members = json.loads(asked.to_json())
    assert {name: members[name] for name in members.keys() - {"digest", "image", "version", "volumes"}} == {
        "environment": ["A=1"],
        "workdir": "",
        "entrypoint": "",
        "writable": "",
    }


def test_white_space_and_the_order_of_keys_do_not_matter() -> None:
    assert parse_request(f"\n{text()}\t") == request("/a:/b", image="debian")


def test_the_last_of_two_equal_keys_counts_and_is_parsed_like_any_other() -> None:
    assert parse_request(text()[:-1] + ', "volumes": ["/c:/d"]}') == request("/c:/d", image="debian")
    assert refusal(text()[:-1] + ', "volumes": ["/c:/etc"]}').startswith("--volume: /etc belongs")


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "null",
        "[]",
        "{}",
        '"debian"',
        "{",
        "\0",
        "\udcff",
        "[" * 60_000,
        '{"a":' * 12_000,
        '{"version":' + "9" * 60_000 + "}",
        text(version=2),
        text(version="1"),
        text(version=...),
        text(extra=1),
        text(image=None),
        text(image=1),
        text(image=["debian"]),
        text(digest=None),
        text(digest=...),
        text(volumes="/a:/b"),
        text(volumes={}),
        text(volumes=None),
        text(volumes=[["/a:/b"]]),
        text(volumes=["/a:/b", 1]),
        text().replace("debian", "\n"),
        text(environment="A=1"),
        text(environment=[1]),
        text(environment={"A": "1"}),
        text(clear_environment=False),
        text(clear_environment=1),
        text(workdir=None),
        text(entrypoint=["sh"]),
        text(writable=True),
        text(joins=False),
        text(joins=True),  # and brings a volume
        text(joins=True, volumes=[], writable=""),
        text(typed=1),
        text(typed="docker:alpine"),  # not what `image` says
    ],
)
def test_what_is_no_request(forged: str) -> None:
    assert refusal(forged) == FORGED


@pytest.mark.parametrize("forged", [text(volumes=["/a:/" + "b" * 65_536, "/c:/d"]), " " * 65_537])
def test_what_is_too_long(forged: str) -> None:
    assert refusal(forged) == TOO_LONG


def test_a_request_that_the_job_could_not_carry_is_not_written() -> None:
    asked = request(*(f"/{'a/' * 500}{number}:/b/{number}" for number in range(66)))
    with pytest.raises(UserError) as caught:
        asked.to_json()
    assert caught.value.report() == TOO_LONG


@pytest.mark.parametrize(
    ("forged", "report"),
    [
        (
            text(image="-"),
            (
                "--image: this is no image name\n    -\n    ^\n"
                "hint: lower-case letters and digits, with '.', '_', '-' and '/' between them"
            ),
        ),
        (
            text(digest="../../etc/passwd"),
            (
                "this is no digest\n    ../../etc/passwd\n    ^~~~~~~~~~~~~~~~\n"
                "hint: a digest is sha256: and 64 hexadecimal digits"
            ),
        ),
        (
            text(volumes=["/a:/b\0"]),
            ("--volume: the path holds an unprintable character\n    /a:/b\ufffd\n       ^~~\nhint: rename the folder"),
        ),
        (
            text(volumes=["/\ud800:/b"]),
            ("--volume: the path holds an unprintable character\n    /\ufffd:/b\n    ^~\nhint: rename the folder"),
        ),
        (
            text(environment=["A"]),
            "--image-env: the value is missing\n    A\n    ^\nhint: write NAME=VALUE",
        ),
        (
            text(environment=["LD PRELOAD=x"]),
            (
                "--image-env: this is no name of a variable\n    LD PRELOAD\n    ^~~~~~~~~~\n"
                "hint: letters, digits and _, and no digit at the beginning"
            ),
        ),
        (
            text(environment=["SPANK_CONTAINER_REQUEST=x"]),
            (
                "--image-env: SPANK_CONTAINER_REQUEST is not for you to set: Slurm tells a task with it what it is\n"
                "    SPANK_CONTAINER_REQUEST\n    ^~~~~~~~~~~~~~~~~~~~~~~\nhint: leave it out"
            ),
        ),
        (
            text(environment=["A=x\0B=y"]),
            "--image-env: the value of A cannot be one\nhint: it holds a NUL or is not text",
        ),
        (
            text(environment=["A=\ud800"]),
            "--image-env: the value of A cannot be one\nhint: it holds a NUL or is not text",
        ),
        (
            text(workdir="app"),
            "--image-workdir: the path is not absolute\n    app\n    ^~~\nhint: begin it with /",
        ),
        (
            text(workdir="/a/../b"),
            "--image-workdir: the path has a .. in it\n    /a/../b\n    ^~~~~~~\nhint: write the path without ..",
        ),
        (
            text(workdir="//proc/self/fd/7"),
            (
                "--image-workdir: /proc is no place to work in\n    //proc/self/fd/7\n    ^~~~~~~~~~~~~~~~\n"
                "hint: name another folder"
            ),
        ),
        (
            text(entrypoint="a\0b"),
            (
                "--image-entrypoint: no program has this name\n    a\ufffdb\n    ^~~\n"
                "hint: it holds a NUL or is not text"
            ),
        ),
        (
            text(writable="much"),
            (
                "--image-writable: this is no size\n    much\n    ^~~~\n"
                "hint: write 500M, 1.5G or 4T, or the target of a perNodeCache, as /mnt"
            ),
        ),
        (
            text(writable="/mnt/.."),
            "--image-writable: the path has a .. in it\n    /mnt/..\n    ^~~~~~~\nhint: write the path without ..",
        ),
        (
            text(writable="/b"),  # a volume, but no cache
            (
                "--image-writable: there is no perNodeCache at /b\n"
                "hint: add --volume=/PATH/TO/CACHE:/b:perNodeCache=size=100G, or give a size"
            ),
        ),
        (text(volumes=[""]), "--volume: it is empty\n    \n    ^\nhint: write SOURCE:TARGET"),
    ],
)
def test_members_are_parsed_from_scratch(forged: str, report: str) -> None:
    assert refusal(forged) == report


SURROUNDINGS = StepSurroundings("n[1-2]", "4(x2)", "/work")


def test_a_steps_request_carries_its_surroundings() -> None:
    asked = replace(request("/a:/b"), surroundings=SURROUNDINGS)
    assert parse_request(asked.to_json()) == asked


@pytest.mark.parametrize(
    "forged",
    [None, [], "n1", {}, {"nodes": "n1"}, {"nodes": 1, "cpus_per_node": "", "workdir": ""}],
)
def test_surroundings_are_three_texts(forged: object) -> None:
    assert refusal(text(surroundings=forged)) == FORGED


def test_only_a_step_takes_surroundings_from_its_request() -> None:
    asked = replace(request(), surroundings=SURROUNDINGS)
    of_job = job()
    assert surrounded(of_job, asked) == of_job
    assert surrounded(replace(of_job, step=3), request()) == replace(of_job, step=3)
    of_step = surrounded(replace(of_job, step=3, nodes="", workdir=None), asked)
    assert (of_step.nodes, of_step.cpus_per_node, of_step.workdir) == ("n[1-2]", "4(x2)", "/work")


def test_surroundings_are_srun_s_own() -> None:
    environment = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_CPUS_PER_NODE": "4(x2)", "SLURM_NODELIST": "x"}
    assert step_surroundings(environment, "/work") == SURROUNDINGS
    assert step_surroundings({}, "") == StepSurroundings("", "", "")


def test_volumes_of_all_options_accumulate() -> None:
    assert parse_volume_options(["/a:/b;/c:/d", "/e:/f"]) == parse_volume_options(["/a:/b", "/c:/d", "/e:/f"])
    assert parse_volume_options([]) == ()


@pytest.mark.parametrize("options", [["/a:/x;/b:/x"], ["/a:/x", "/b://x/."]])
def test_two_volumes_with_one_target(options: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_volume_options(options)
    assert caught.value.report() == (
        "--volume: /a and /b have the same target, /x\nhint: give each volume a target of its own"
    )


def test_too_many_volumes() -> None:
    most = [f"/a:/{number}" for number in range(128)]
    assert len(parse_volume_options(most)) == 128
    with pytest.raises(UserError) as caught:
        parse_volume_options([*most, "/a:/b"])
    assert caught.value.report() == "--volume: 129 volumes are too many\nhint: 128 at most"


PROLOG = {
    "SLURM_JOB_ID": "12",
    "SLURM_JOB_UID": "1001",
    "SLURM_JOB_GID": "2000",
    "SLURM_JOB_USER": "alice",
    "SLURMD_NODENAME": "n1",
    "SLURM_NODELIST": "n[1-2]",
    "SLURM_JOB_CPUS_PER_NODE": "2(x2)",
    "SLURM_JOB_WORK_DIR": "/home/alice",
    "SLURM_JOB_RESTART_COUNT": "3",
}


def test_a_job_of_slurm_22_05() -> None:
    assert job_from_environment(PROLOG) == Job(
        id=12,
        uid=1001,
        gid=2000,
        user="alice",
        node="n1",
        workdir=HostPath("/home/alice"),
        nodes="n[1-2]",
        cpus_per_node="2(x2)",
        restart_count=3,
    )


def test_what_later_releases_and_steps_add() -> None:
    job = job_from_environment(PROLOG | {"SLURM_JOB_NODELIST": "m[1-2]", "SLURM_STEP_ID": "4294967291"})
    assert (job.nodes, job.step) == ("m[1-2]", 4_294_967_291)


def test_what_a_step_of_the_plugins_does_not_say() -> None:
    job = job_from_environment({"SLURM_JOB_ID": "12", "SLURM_JOB_UID": "0", "SLURM_JOB_GID": "0", "SLURM_STEP_ID": "0"})
    assert job == Job(12, 0, 0, "", "", step=0)


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "SLURM_JOB_UID", "SLURM_JOB_GID"])
def test_who_the_job_is_must_be_said(name: str) -> None:
    with pytest.raises(NodeError) as caught:
        job_from_environment({key: value for key, value in PROLOG.items() if key != name})
    assert caught.value.report() == f"{name} is not set\nhint: run this from Slurm's Prolog or Epilog"


@pytest.mark.parametrize("number", ["", "-1", "1x", "1 ", "0x1", "\xb2", "\u0663", "12345678901", "1" * 5000])
@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "SLURM_JOB_GID", "SLURM_JOB_RESTART_COUNT", "SLURM_STEP_ID"])
def test_what_is_no_number(name: str, number: str) -> None:
    with pytest.raises(NodeError) as caught:
        job_from_environment(PROLOG | {name: number})
    assert caught.value.report() == (
        f"{name} is {number!r} and not a number\nhint: run this from Slurm's Prolog or Epilog"
    )


@pytest.mark.parametrize(
    ("workdir", "path"),
    [
        ("/scratch/run:1;2", "/scratch/run:1;2"),
        ("/a:/b;/c", "/a:/b;/c"),
        ("//a/./b/", "/a/b"),
        ("/a/../b", None),
        ("relative", None),
        (";/a", None),
        ("/a\nb", None),
        ("/a\udcff", None),
        ("", None),
    ],
)
def test_the_submit_directory_is_a_path_or_left_out(workdir: str, path: str | None) -> None:
    assert job_from_environment(PROLOG | {"SLURM_JOB_WORK_DIR": workdir}).workdir == path

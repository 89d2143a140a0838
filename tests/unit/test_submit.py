"""`submit`: what is typed becomes a request, or a refusal in words; the store and the files are real."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from builders import DIGEST, image, stocked

from spank_container.cli import main
from spank_container.errors import UserError
from spank_container.request import parse_request
from spank_container.site_config import ScratchConfig, SiteConfig
from spank_container.submit import Options, submit
from spank_container.values.task import TaskSpec
from spank_container.values.writable import WritableSpec

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.request import JobRequest

META = replace(image(), entrypoint=("/entry", "--x"), workdir="/app")
DEBIAN = Options(image="debian:trixie")
JOB = Options(image="debian:trixie", environment=("A=job", "B=job"), workdir="/job", clear_environment=True)


@pytest.fixture
def site(tmp_path: Path) -> SiteConfig:
    """A cluster with one image, which root may use, as the tests are root."""
    return stocked(tmp_path, META)


def refusal(options: Options, site: SiteConfig, inherited: str | None = None, **environment: str) -> str:
    with pytest.raises(UserError) as caught:
        submit(options, site, environment, inherited)
    return caught.value.report()


def step(options: Options, site: SiteConfig, of_job: Options = JOB) -> JobRequest:
    """What an srun asks for in a job of `of_job`."""
    return submit(options, site, {}, submit(of_job, site, {}).to_json())


def test_an_image_alone(site: SiteConfig) -> None:
    request = submit(DEBIAN, site, {})
    assert (request.image.digest, request.typed, request.image_request) == (DIGEST, "debian:trixie", "debian:trixie")
    assert (request.task, request.writable, request.joins) == (TaskSpec(), None, False)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("docker:debian:trixie", "debian:trixie"),
        ("docker:docker.io/library/debian:trixie", "docker.io/library/debian:trixie"),
        (f"id:{DIGEST}", DIGEST),
    ],
)
def test_the_image_request_is_what_was_typed_less_its_kind(site: SiteConfig, typed: str, name: str) -> None:
    request = submit(Options(image=typed), site, {})
    assert request.image_request == name
    assert parse_request(request.to_json()) == request


def test_all_options_of_a_task(site: SiteConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("A=file\nF=file\n")
    options = replace(
        DEBIAN,
        environment=("A=typed", "MINE", "EMPTY="),
        environment_files=(str(tmp_path / "file"),),
        clear_environment=True,
        workdir="",
        entrypoint="/bin/echo",
        writable="2G",
    )
    request = submit(options, site, {"MINE": "a=b c", "A": "x"})
    assert request.task == TaskSpec(("A=typed", "F=file", "MINE=a=b c", "EMPTY="), True, "", "/bin/echo")
    assert request.writable == WritableSpec(2 << 30)
    assert parse_request(request.to_json()) == request


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"volumes": ("/tmp:/data",)}, "--volume"),
        ({"writable": ""}, "--image-writable"),
        ({"environment": ("A=1",)}, "--image-env"),
        ({"environment_files": ("/dev/null",)}, "--image-env-file"),
        ({"clear_environment": True}, "--image-clearenv"),
        ({"workdir": ""}, "--image-workdir"),
        ({"entrypoint": ""}, "--image-entrypoint"),
        ({"workdir": "", "entrypoint": ""}, "--image-workdir"),
    ],
)
def test_options_without_an_image(site: SiteConfig, tmp_path: Path, given: dict[str, object], name: str) -> None:
    options = Options(**given)  # type: ignore[arg-type]
    if options.environment_files:
        (tmp_path / "file").write_text("A=1")
        options = replace(options, environment_files=(str(tmp_path / "file"),))
    assert refusal(options, site) == f"{name} needs an image\nhint: add --image=docker:NAME:TAG"


def test_what_the_image_does_not_say(tmp_path: Path) -> None:
    site = stocked(tmp_path, replace(META, entrypoint=(), workdir=""))
    assert refusal(replace(DEBIAN, entrypoint=""), site) == (
        "--image-entrypoint: the image has no entrypoint\nhint: name one: --image-entrypoint=PROGRAM"
    )
    assert refusal(replace(DEBIAN, workdir=""), site) == (
        "--image-workdir: the image has no working directory\nhint: name one: --image-workdir=/DIR"
    )


def test_a_variable_that_is_not_there(site: SiteConfig) -> None:
    assert refusal(replace(DEBIAN, environment=("ABSENT",)), site) == (
        "--image-env: ABSENT has no value where you type this\n    ABSENT\n    ^~~~~~\n"
        "hint: write ABSENT=VALUE, or export it first"
    )


def test_a_variable_that_is_there_and_protected(site: SiteConfig) -> None:
    said = refusal(replace(DEBIAN, environment=("SLURM_JOB_ID",)), site, SLURM_JOB_ID="7")
    assert said.startswith("--image-env: SLURM_JOB_ID is not for you to set: Slurm tells a task with it what it is\n")


def test_a_writable_container_in_a_cache(site: SiteConfig) -> None:
    by_site = replace(site, scratch=ScratchConfig(path="/scratch"))
    volumes = ("/c:/mnt:perNodeCache=size=1G",)
    request = submit(replace(DEBIAN, volumes=volumes, writable="/mnt/"), by_site, {})
    assert request.writable == WritableSpec(cache=request.volumes[0].target)
    assert refusal(replace(DEBIAN, volumes=volumes, writable="/other"), by_site) == (
        "--image-writable: there is no perNodeCache at /other\n"
        "hint: add --volume=/PATH/TO/CACHE:/other:perNodeCache=size=100G, or give a size"
    )


# Steps of a job.


def test_a_step_with_task_options_joins_and_leaves_the_rest_to_the_job(site: SiteConfig) -> None:
    request = step(Options(environment=("B=step", "C=step"), entrypoint=""), site)
    assert request.joins
    assert request.task == TaskSpec(("A=job", "B=step", "C=step"), True, "/job", "")
    assert request.image_request == "debian:trixie"


def test_a_step_overrides_its_job(site: SiteConfig) -> None:
    assert step(Options(workdir="/step"), site).task.workdir == "/step"
    assert step(Options(workdir=""), site).task.workdir == ""


@pytest.mark.parametrize("options", [Options(volumes=("/tmp:/data",)), Options(writable="1G")])
def test_a_step_that_changes_the_root_has_its_own_and_the_jobs_task_options(site: SiteConfig, options: Options) -> None:
    request = step(options, site)
    assert not request.joins
    assert request.task.environment == ("A=job", "B=job")
    assert request.image.digest == DIGEST


def test_a_step_with_an_image_of_its_own_starts_afresh(site: SiteConfig) -> None:
    assert step(replace(DEBIAN, environment=("C=step",)), site).task == TaskSpec(("C=step",))


def test_a_step_does_not_get_the_jobs_volumes(site: SiteConfig) -> None:
    of_job = replace(JOB, volumes=("/tmp:/data",), writable="1G")
    request = step(Options(workdir="/x"), site, of_job)
    assert (request.volumes, request.writable, request.joins) == ((), None, True)  # it has what the job's container has


# Files of variables.


def from_file(tmp_path: Path, content: bytes, site: SiteConfig) -> tuple[str, ...]:
    path = tmp_path / "file"
    path.write_bytes(content)
    return submit(replace(DEBIAN, environment_files=(str(path),)), site, {}).task.environment


def test_a_file_of_variables(tmp_path: Path, site: SiteConfig) -> None:
    content = (
        b"# comment\n\n  \t\n  # comment\nA=1\n\tB=two words \nC='quoted' \"twice\"\nD=x=y\nE=\nF=\xff\r\nA=2\nG=last"
    )
    assert from_file(tmp_path, content, site) == (
        "A=2",
        "B=two words ",
        "C='quoted' \"twice\"",
        "D=x=y",
        "E=",
        "F=\udcff",
        "G=last",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A=1\nB\n", "line 2: there is no = in it\n    B\n    ^\nhint: write NAME=VALUE"),
        (
            b"\n\nexport A=1",
            (
                "line 3: this is no name of a variable\n    export A\n    ^~~~~~~~\n"
                "hint: letters, digits and _, and no digit at the beginning"
            ),
        ),
        (
            b"=1",
            (
                "line 1: this is no name of a variable\n    \n    ^\n"
                "hint: letters, digits and _, and no digit at the beginning"
            ),
        ),
        (
            b"PMI_RANK=1",
            (
                "line 1: PMI_RANK is not for you to set: the start of MPI tells a task with it where its peers are\n"
                "    PMI_RANK\n    ^~~~~~~~\nhint: leave it out"
            ),
        ),
        (b"A=x\0y", "line 1: the value of A cannot be one\nhint: it holds a NUL"),
    ],
)
def test_what_is_wrong_in_a_file_is_shown_with_its_line(
    tmp_path: Path, site: SiteConfig, content: bytes, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        from_file(tmp_path, content, site)
    assert caught.value.report() == f"--image-env-file: {tmp_path}/file, {words}"


def test_a_value_is_never_shown(site: SiteConfig) -> None:
    for setting in ("9A=secret", "SLURM_X=secret", "A=secret\0"):
        assert "secret" not in refusal(replace(DEBIAN, environment=(setting,)), site)


def test_a_file_that_cannot_be_read(tmp_path: Path, site: SiteConfig) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_text("A=1\n" * 20_000)
    read = "hint: check the path, and that you may read it"
    refusals = {
        f"{tmp_path}/absent": f"--image-env-file: {tmp_path}/absent: No such file or directory\n{read}",
        "": f"--image-env-file: : No such file or directory\n{read}",
        "a\0b": f"--image-env-file: a\ufffdb: embedded null byte\n{read}",
        f"{tmp_path}/fifo": f"--image-env-file: {tmp_path}/fifo is no regular file\nhint: write the variables to a file",
        "/dev/null": "--image-env-file: /dev/null is no regular file\nhint: write the variables to a file",
        "/": f"--image-env-file: /: Is a directory\n{read}",
        f"{tmp_path}/large": f"--image-env-file: {tmp_path}/large is larger than 64K\n"
        "hint: let the program read it, as a --volume",
    }
    for path, words in refusals.items():
        assert refusal(replace(DEBIAN, environment_files=(path,)), site) == words


def test_more_variables_than_a_job_can_carry(site: SiteConfig) -> None:
    request = submit(replace(DEBIAN, environment=tuple(f"V{n}={'x' * 1000}" for n in range(70))), site, {})
    with pytest.raises(UserError) as caught:
        request.to_json()
    assert caught.value.report() == (
        "the job's container request is too long\nhint: use fewer or shorter volumes and variables"
    )


# The command, as the plugin runs it.


@pytest.fixture
def configured(site: SiteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spank_container.commands.jobs.load_config", lambda: site)
    monkeypatch.delenv("SLURM_SPANK_CONTAINER_REQUEST", raising=False)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["submit", *arguments])
    return ended.value.code if isinstance(ended.value.code, int) else -1


@pytest.mark.usefixtures("configured")
def test_the_request_and_what_scripts_of_shifters_users_read(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--image=docker:debian:trixie", "--image-workdir", "--image-entrypoint", "--image-writable"]
    assert run(*options, "--image-env=A=1", "--image-clearenv", "--image-env=B=-x") == 0
    json, *lines = capsys.readouterr().out.splitlines()
    request = parse_request(json)
    assert request.task == TaskSpec(("A=1", "B=-x"), True, "", "")
    assert request.writable == WritableSpec()
    assert lines == [f"SHIFTER_IMAGE={DIGEST}", "SHIFTER_IMAGEREQUEST=debian:trixie", "SHIFTER_IMAGETYPE=id"]


@pytest.mark.usefixtures("configured")
def test_a_steps_request_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--image=debian:trixie") == 0
    monkeypatch.setenv("SLURM_SPANK_CONTAINER_REQUEST", capsys.readouterr().out.splitlines()[0])
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    assert run("--image-workdir=/x", "--step") == 0
    (line,) = capsys.readouterr().out.splitlines()
    request = parse_request(line)
    assert request.joins
    assert request.surroundings
    assert request.surroundings.nodes == "n[1-2]"


@pytest.mark.usefixtures("configured")
def test_the_last_of_an_option_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--image=x", "--image=debian:trixie", "--image-workdir=/a", "--image-workdir=/b") == 0
    assert parse_request(capsys.readouterr().out.splitlines()[0]).task.workdir == "/b"


@pytest.mark.usefixtures("configured")
def test_a_refusal_is_on_stderr_and_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--image-clearenv") == 64
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "spank-container: --image-clearenv needs an image\nhint: add --image=docker:NAME:TAG\n",
    )

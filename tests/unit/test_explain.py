"""`explain` and `plan --record`, as people type them; the words themselves are in tests/golden/explain."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from builders import CONTAINER, config, facts, image, job, request, stocked

from spank_container.cli import main
from spank_container.explain.rows import explain
from spank_container.explain.show import plain
from spank_container.plan.build import build_plan
from spank_container.state import ContainerDirectory, Record

if TYPE_CHECKING:
    from pathlib import Path

META = replace(image("EVIL=\x1b[31m"), entrypoint=("/entry", "--x"), workdir="/app")
OPTIONS = ["--image=debian:trixie", "--image-env=A=1", "--image-workdir", "--image-entrypoint"]
HINT = "hint: records are root's, on the node, while the job runs: /run/spank-container/jobs/JOB/record.json\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user is in, on a login node with one image."""
    configured = stocked(tmp_path, META)
    for module in ("jobs", "explain"):
        monkeypatch.setattr(f"spank_container.commands.{module}.load_config", lambda: configured)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    return tmp_path / "data"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else -1


def test_by_what_this_machine_knows(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", *OPTIONS, f"--volume={site}:/data:ro") == 0
    about, more, _, *lines = capsys.readouterr().out.splitlines()
    assert about == (
        f"A job of yours with docker:docker.io/library/debian:trixie, {META.digest}, by what this machine,"
        f" {os.uname().nodename}, knows:"
    )
    assert more == "its nodes may have other files, groups and mounts. Nothing was done."
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert rows["/data"] == [str(site), "ro,nosuid,nodev,as", "the", "user", f"--volume={site}:/data:ro"]
    assert rows["/"] == ["the", "image", "ro,nosuid,nodev", "--image=debian:trixie"]
    assert rows["A"] == ["1", "--image-env"]
    assert rows["EVIL"] == ["\ufffd[31m", "the", "image"]
    assert "Tasks start in /app (--image-workdir)." in lines
    assert "They run /entry --x COMMAND (--image-entrypoint)." in lines


def test_nothing_is_touched(site: Path) -> None:
    before = sorted(site.parent.rglob("*"))
    assert run("explain", "--image=debian:trixie", f"--volume={site}/new:/mnt:perNodeCache=size=8M,fs=ext4") == 0
    assert sorted(site.parent.rglob("*")) == before


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    "options",
    [
        ["--image=docker:debian:"],
        ["--image=docker:absent"],
        ["--volume=/a:/b"],
        ["--image=debian:trixie", "--volume=/a:/etc"],
        ["--image=debian:trixie", "--volume=/no/such/folder:/b"],
        ["--image=debian:trixie", "--image-env=9=1"],
        ["--image=debian:trixie", "--image-writable=/mnt"],
        ["--image=debian:trixie", "--image-workdir=x"],
        ["--image=debian:trixie", *(f"--image-env=V{number}={'x' * 1000}" for number in range(70))],
    ],
    ids=lambda options: options[-1][:40],
)
def test_a_refusal_is_the_one_of_sbatch(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("submit", *options) == 64
    refusal = capsys.readouterr().err
    assert run("explain", *options) == 64
    assert capsys.readouterr() == ("", refusal)


@pytest.mark.usefixtures("site")
def test_no_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--image=none") == 0
    assert capsys.readouterr().out == "--image=none: the job runs on the host.\n"


@pytest.mark.usefixtures("site")
def test_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", *OPTIONS, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {"name": "EVIL", "value": "\x1b[31m", "why": "the image"} in document["variables"]
    assert {"path": "/proc", "source": "/proc", "how": ["rw"], "why": "every container"} in document["shown"]
    assert (document["workdir"], document["entrypoint"]) == ("/app", ["/entry", "--x"])
    assert document["node"][-1] == "build the container and pin it at /run/spank-container/jobs/JOB/mnt.ns"


@pytest.mark.usefixtures("site")
def test_a_table_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words, drawn by rich on a real terminal, whose only orders are rich's own."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with ThreadPoolExecutor() as reader, monkeypatch.context() as patched:
        reading = reader.submit(all_of, leader)
        with os.fdopen(follower, "w") as terminal:
            patched.setattr(sys, "stdout", terminal)
            assert run("explain", *OPTIONS) == 0
        drawn = reading.result()
    assert "\x1b[31m" not in drawn
    assert "\ufffd[31m" in drawn
    assert "PATH" in drawn
    assert "[container] shm_size" in drawn


def all_of(leader: int) -> str:
    """What is written to a terminal, until it is closed."""
    drawn = b""
    with contextlib.suppress(OSError):
        while True:
            drawn += os.read(leader, 1 << 16)
    os.close(leader)
    return drawn.decode()


def test_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = replace(request("/data:/data"), typed="debian:trixie")
    plan = build_plan(asked, job(), facts(), image(), config(), CONTAINER)
    directory = ContainerDirectory(tmp_path / "jobs/12")
    directory.create(Record(0, plan, asked.to_json()))
    path = directory.path / "record.json"
    assert run("plan", f"--record={path}") == 0
    about = f"As recorded in {path}: a job with docker:docker.io/library/debian:trixie, {META.digest}."
    assert capsys.readouterr().out.splitlines() == [*plain(about, explain(plan, "debian:trixie"))]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"version": 1}', '{"version": 1, "plan": {"host": [{}]}}'])
def test_no_record(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text(text)
    assert run("plan", f"--record={tmp_path}/file") == 64
    assert capsys.readouterr().err == (
        f"spank-container: --record: {tmp_path}/file is no record of this version of spank-container\n{HINT}"
    )


def test_an_absent_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", f"--record={tmp_path}/absent") == 64
    assert capsys.readouterr().err == f"spank-container: --record: {tmp_path}/absent: No such file or directory\n{HINT}"

"""The only caller of other programs, called on real ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from spank_container.errors import BusyError, NodeError, SiteError
from spank_container.run import FIXED_ENVIRONMENT, Output, ProgramFailedError, leashed, reading_from, run, writing_to


def test_what_a_program_says() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2"]) == Output(b"out\n", b"err\n")


def test_the_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/nonexistent.so")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert dict(line.split("=", 1) for line in run(["env"]).stdout.decode().splitlines()) == FIXED_ENVIRONMENT
    assert run(["env"], environment={"PATH": "/usr/bin:/bin", "A": "1"}).stdout == b"PATH=/usr/bin:/bin\nA=1\n"


def test_nothing_is_a_shells_to_read() -> None:
    assert run(["echo", "$HOME;`id`", "* | x"]).stdout == b"$HOME;`id` * | x\n"


def test_standard_input_is_empty() -> None:
    readable, writable = os.pipe()
    kept = os.dup(0)
    os.write(writable, b"what a user typed")
    os.close(writable)
    os.dup2(readable, 0)
    try:
        assert run(["cat"]).stdout == b""
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(readable)


def test_descriptors_are_closed_but_those_that_are_passed() -> None:
    kept, closed = os.pipe()
    os.set_inheritable(closed, True)
    try:
        listed = run(["ls", "/proc/self/fd"], pass_fds=[kept]).stdout.split()
        assert str(kept).encode() in listed
        assert str(closed).encode() not in listed
    finally:
        os.close(kept)
        os.close(closed)


@pytest.mark.parametrize(
    ("script", "report"),
    [
        ("echo no >&2; exit 3", "sh failed with status 3: no"),
        ("printf 'a\\nb\\033[2J\\377\\n' >&2; exit 1", "sh failed with status 1: a\nb\ufffd[2J\ufffd"),
        ("exit 1", "sh failed with status 1: it said nothing"),
        ("kill -9 $$", "sh was killed by signal 9: it said nothing"),
    ],
)
def test_a_program_that_fails(script: str, report: str) -> None:
    with pytest.raises(ProgramFailedError) as caught:
        run(["sh", "-c", script])
    first_hint = caught.value.report().split("\nhint: ")
    assert first_hint[0] == report
    assert first_hint[1].startswith("to see it again: sh -c ")
    assert isinstance(caught.value, NodeError)


def test_a_failure_can_be_looked_at() -> None:
    with pytest.raises(ProgramFailedError) as caught:
        run(["sh", "-c", "echo why >&2; exit 7"])
    assert (caught.value.status, caught.value.stderr) == (7, "why")
    assert caught.value.hint == "to see it again: sh -c 'echo why >&2; exit 7'"


MISSING = "no-such-program is not installed\nhint: spank-container check lists what is needed"


def test_a_program_that_is_not_installed() -> None:
    with pytest.raises(SiteError) as caught:
        run(["no-such-program"])
    assert caught.value.report() == MISSING
    with pytest.raises(SiteError) as caught, writing_to(["no-such-program"]):
        pass
    assert caught.value.report() == MISSING


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("x")
    with pytest.raises(NodeError) as caught:
        run([str(path)])
    assert caught.value.report() == f"starting {path}: Permission denied"
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NodeError) as caught, writing_to([str(path)]):
        pass
    assert caught.value.report() == f"starting {path}: Permission denied"
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_an_argument_list_that_is_too_long() -> None:
    with pytest.raises(NodeError) as caught:
        run(["true", "x" * 200_000])
    assert caught.value.report() == "starting true: Argument list too long"


def test_a_program_that_does_not_end_is_killed() -> None:
    started = time.monotonic()
    with pytest.raises(BusyError) as caught:
        run(["sleep", "60"], timeout=0.2)
    assert caught.value.report() == "sleep did not end within 0.2 s: sleep 60"
    assert time.monotonic() - started < 10


def test_reading_from_a_running_program(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("abc\n")
    with path.open() as source, reading_from(["tr", "a-z", "A-Z"], source.fileno()) as printed:
        assert printed.read() == b"ABC\n"


def test_a_reader_that_leaves_early_does_not_care(tmp_path: Path) -> None:
    (tmp_path / "input").touch()
    with (tmp_path / "input").open() as source, reading_from(["yes"], source.fileno()) as printed:
        assert printed.read(4) == b"y\ny\n"


def test_a_reader_to_the_end_learns_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "input").touch()
    script = ["sh", "-c", "echo part; echo why >&2; exit 2"]
    with (
        pytest.raises(ProgramFailedError) as caught,
        (tmp_path / "input").open() as source,
        reading_from(script, source.fileno()) as printed,
    ):
        assert printed.read() == b"part\n"
    assert caught.value.message == "sh failed with status 2: why"


def test_writing_to_a_running_program(tmp_path: Path) -> None:
    with writing_to(["sh", "-c", f"cat > {tmp_path}/copy"]) as wanted:
        wanted.write(b"x" * 1_000_000)
    assert (tmp_path / "copy").stat().st_size == 1_000_000


def test_a_program_that_ends_before_all_is_written_says_why() -> None:
    with pytest.raises(ProgramFailedError) as caught, writing_to(["sh", "-c", "echo full >&2; exit 1"]) as wanted:  # noqa: PT012
        while True:
            wanted.write(b"x" * 100_000)
    assert caught.value.message == "sh failed with status 1: full"


def test_only_the_end_of_what_a_failing_program_said_is_kept() -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1"
    with pytest.raises(ProgramFailedError) as caught, writing_to(["sh", "-c", script]):
        pass
    assert len(caught.value.stderr) < 17_000
    assert caught.value.stderr.endswith("xend")


def test_an_error_in_the_body_kills_the_program() -> None:
    with pytest.raises(ZeroDivisionError), writing_to(["sleep", "60"]):
        raise ZeroDivisionError
    assert "sleep 60" not in run(["ps", "-o", "args=", "--ppid", str(os.getpid())]).stdout.decode()


def _dies(pid: int) -> bool:
    """A signal takes its time."""
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_leashed_program_started_dies_with_it() -> None:
    with leashed(["sh", "-c", "sleep 100 & echo $!; read line"]) as (_, printed):
        child = int(printed.readline())
        assert _alive(child)
    assert _dies(child)


def test_what_a_leashed_program_left_behind_dies_too() -> None:
    with leashed(["sh", "-c", "sleep 100 > /dev/null & echo $!"]) as (_, printed):
        child = int(printed.readline())
    assert _dies(child)


def _read_all(argv: list[str]) -> bytes:
    with leashed(argv) as (_, printed):
        return printed.read()


def test_a_leashed_program_that_fails_says_why() -> None:
    with pytest.raises(ProgramFailedError, match="sh failed with status 3: broken"):
        _read_all(["sh", "-c", "echo broken >&2; exit 3"])


def test_a_program_reads_what_it_is_given() -> None:
    assert run(["cat"], stdin=b"secret").stdout == b"secret"

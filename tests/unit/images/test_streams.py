"""Programs that run while we read from them and write to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spank_container.errors import SiteError
from spank_container.run import ProgramFailedError, reading_from, writing_to


@pytest.fixture
def source(tmp_path: Path) -> int:
    path = tmp_path / "source"
    path.write_bytes(b"x" * 1_000_000)
    return os.open(path, os.O_RDONLY)


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_all_is_read(source: int) -> None:
    with reading_from(["cat"], source) as stream:
        assert stream.read() == b"x" * 1_000_000


def test_a_failure_shows_at_the_end(source: int) -> None:
    with (
        pytest.raises(ProgramFailedError, match="status 3: too bad"),
        reading_from(["sh", "-c", "cat; echo too bad >&2; exit 3"], source) as stream,
    ):
        stream.read()


def test_whoever_leaves_early_does_not_care(source: int) -> None:
    with reading_from(["cat"], source) as stream:
        stream.read(10)
    assert children() == ""


def write_and_fail(argv: list[str]) -> None:
    with writing_to(argv) as sink:
        sink.write(b"half")
        raise ZeroDivisionError


def test_a_failing_body_kills_the_program(tmp_path: Path, source: int) -> None:
    with pytest.raises(ZeroDivisionError), reading_from(["sleep", "60"], source):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        write_and_fail(["sh", "-c", f"cat > /dev/null; touch {tmp_path}/done"])
    assert children() == ""
    assert not (tmp_path / "done").exists()


def test_all_is_written(tmp_path: Path) -> None:
    with writing_to(["dd", f"of={tmp_path}/target", "status=none"]) as sink:
        sink.write(b"y" * 1_000_000)
    assert (tmp_path / "target").read_bytes() == b"y" * 1_000_000


def write_much(argv: list[str]) -> None:
    with writing_to(argv) as sink:
        for _ in range(1000):
            sink.write(b"z" * 10_000)


def test_a_program_that_ends_early_says_why() -> None:
    with pytest.raises(ProgramFailedError, match="status 4: no more"):
        write_much(["sh", "-c", "echo no more >&2; exit 4"])


def test_a_failure_at_the_end() -> None:
    with (
        pytest.raises(ProgramFailedError, match="status 5"),
        writing_to(["sh", "-c", "cat > /dev/null; exit 5"]) as sink,
    ):
        sink.write(b"z")


def test_a_program_that_says_much_does_not_stop(source: int) -> None:
    script = "head -c 10000000 /dev/zero | tr '\\0' w >&2; echo last words >&2; exit 1"
    with (
        pytest.raises(ProgramFailedError, match="last words") as caught,
        reading_from(["sh", "-c", script], source) as stream,
    ):
        stream.read()
    assert len(caught.value.message) < 20_000


def test_a_program_that_is_not_there(source: int) -> None:
    with pytest.raises(SiteError, match="no-such-program is not installed"), reading_from(["no-such-program"], source):
        pass

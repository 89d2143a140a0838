"""Loop devices: taken by many at once, freed by themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from spank_container.errors import NodeError
from spank_container.kernel.loop import attached

pytestmark = pytest.mark.kernel
PROCESSES, ROUNDS = 8, 25


def backing_files() -> str:
    return "".join(file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file"))


def attach_again_and_again(file: Path) -> None:
    for _ in range(ROUNDS):
        with file.open("r+b") as backing, attached(backing.fileno(), read_only=False) as device:
            number = device.removeprefix("/dev/")
            own = Path(f"/sys/block/{number}/loop/backing_file").read_text().strip()
            assert own == str(file)


def test_many_processes_each_get_their_own(tmp_path: Path) -> None:
    children = []
    for number in range(PROCESSES):
        file = tmp_path / f"backing{number}"
        file.write_bytes(bytes(1 << 20))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                attach_again_and_again(file)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * PROCESSES
    deadline = time.monotonic() + 10
    while str(tmp_path) in backing_files() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert str(tmp_path) not in backing_files()


def test_what_cannot_be_a_device_is_refused() -> None:
    reading, _ = os.pipe()
    with (
        pytest.raises(NodeError, match=r"^attaching a loop device: Invalid argument$"),
        attached(reading, read_only=True),
    ):
        pass

"""The state directory: what a reader sees at any instant, and who waits for whom. Mounting it is in tests/kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from builders import image, plan

from spank_container.errors import NodeError
from spank_container.state import ContainerDirectory, Journal, Record, StateDirectory, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = Record(3, plan("/a:/b", "/c:/mnt:perNodeCache=size=1G"), '{"forged": "\\ud800"}')
ROOT = Path(__file__).parents[2]
# Says "in" when it has the lock and keeps it until its standard input ends.
HOLDER = """
import pathlib, sys
from spank_container.state import StateDirectory
state = StateDirectory(pathlib.Path(sys.argv[1]))
with getattr(state, sys.argv[2])(*map(int, sys.argv[3:])):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    """A path that has `jobs` in it above the state directory too, as a test cluster's may."""
    path = tmp_path / "jobs" / "state"
    path.mkdir(parents=True)
    return StateDirectory(path)


@pytest.fixture
def directory(state: StateDirectory) -> ContainerDirectory:
    return state.job(12)


@pytest.mark.parametrize("step", [None, 3])
def test_every_folder_is_roots_alone(state: StateDirectory, step: int | None) -> None:
    """A user may come to stand in one, by a descriptor of slurmstepd's."""
    state.job(12, step).create(RECORD)
    state.job(13, step).fail("a reason")
    folders = [path for path in (state.path / "jobs").rglob("*") if path.is_dir()]
    assert len(folders) == (3 if step is None else 7)
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_names_are_unique_on_the_node(state: StateDirectory) -> None:
    assert (state.job(12).name, state.job(12, 3).name, state.job(12, 0).name) == ("12", "12.3", "12.0")


def test_where_things_are(state: StateDirectory) -> None:
    assert state.job(12).pin == state.path / "jobs" / "12" / "mnt.ns"
    assert state.job(12, 3).root == state.path / "jobs" / "12" / "steps" / "3" / "root"


def test_a_record_is_read_back(directory: ContainerDirectory) -> None:
    assert not directory.exists()
    assert directory.record() is None
    directory.create(RECORD)
    assert directory.exists()
    assert directory.record() == RECORD
    assert not directory.is_ready()
    directory.commit()
    assert directory.is_ready()


def test_a_directory_is_made_once(directory: ContainerDirectory) -> None:
    directory.create(RECORD)
    with pytest.raises(FileExistsError):
        directory.create(RECORD)


def test_the_environment_is_nul_terminated_records_of_the_very_bytes(directory: ContainerDirectory) -> None:
    directory.create(Record(0, plan(source=image("A=\udcff\n", "B=\ud800"))))
    records = (directory.path / "env").read_bytes().split(b"\0")
    assert records[-1] == b""
    assert b"A=\xff\n" in records
    assert not any(record.startswith(b"B=") for record in records)


def test_the_plugin_is_told_which_folders_slurm_may_replace(directory: ContainerDirectory) -> None:
    directory.create(replace(RECORD, tmp=("8:2", "-")))
    assert (directory.path / "tmp").read_text() == "8:2\n-\n"
    assert directory.record() == replace(RECORD, tmp=("8:2", "-"))


def test_only_root_can_look_in(directory: ContainerDirectory) -> None:
    directory.create(RECORD)
    assert directory.root.stat().st_mode & 0o777 == 0o700


def test_a_record_of_another_version_is_the_nodes_fault(directory: ContainerDirectory) -> None:
    directory.create(RECORD)
    path = directory.path / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(NodeError) as caught:
        directory.record()
    assert caught.value.report() == (
        f"another version of spank-container wrote {directory.path}\nhint: reboot, or use that version"
    )


def test_a_refusal_needs_no_directory(directory: ContainerDirectory) -> None:
    directory.fail("no\nhint: é\udcff")
    assert (directory.path / "failed").read_bytes() == b"no\nhint: \xc3\xa9\xff\n"
    directory.fail("still no")
    assert (directory.path / "failed").read_text() == "still no\n"


def test_steps_lie_in_their_job(state: StateDirectory) -> None:
    assert state.job(12).steps() == []
    state.job(12, 3).create(RECORD)
    state.job(12, 1).fail("no")
    assert [step.name for step in state.job(12).steps()] == ["12.1", "12.3"]


def test_remove_is_idempotent(state: StateDirectory) -> None:
    state.job(12, 3).create(RECORD)
    state.job(12).remove()
    state.job(12).remove()
    assert not state.job(12).exists()


def test_the_jobs_of_this_node(state: StateDirectory) -> None:
    assert state.jobs() == []
    for number in (100, 9):
        state.job(number).fail("no")
    (state.path / "jobs" / ".tmp").touch()
    (state.path / "jobs" / "\u00b2").touch()
    assert state.jobs() == [9, 100]


@pytest.fixture
def journal(directory: ContainerDirectory) -> Journal:
    directory.create(RECORD)
    return Journal(directory)


def test_a_journal_that_was_not_begun(journal: Journal) -> None:
    assert journal.begun() == []


def test_what_was_begun_is_undone_though_it_was_never_done(journal: Journal, directory: ContainerDirectory) -> None:
    journal.begin(0)
    journal.done(0)
    journal.begin(1, "first")
    journal.begin(1, "/scratch/\udcff\n")
    journal.begin(1)
    journal.begin(2)
    assert Journal(directory).begun() == [(0, ""), (1, "/scratch/\udcff\n"), (2, "")]


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_last_line_was_never_acted_upon(journal: Journal, directory: ContainerDirectory, kept: int) -> None:
    path = directory.path / "journal"
    journal.begin(0, "note")
    whole = path.read_bytes()
    journal.begin(1, "torn")
    path.write_bytes(whole + path.read_bytes()[len(whole) : -1][:kept])
    assert journal.begun() == [(0, "note")]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """A reader that looks all the time never sees a part."""
    path, done, seen = tmp_path / "file", threading.Event(), set[int]()

    def look() -> None:
        while not done.is_set():
            seen.add(len(path.read_text()))

    write_whole(path, "x" * 100_000)
    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        write_whole(path, "x" * (100_000 + number % 2))
    done.set()
    reader.join()
    assert seen <= {100_000, 100_001}
    assert os.listdir(tmp_path) == ["file"]


@contextmanager
def held(state: StateDirectory, *lock: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that waits for the lock and then keeps it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.path), *lock],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def says_in(process: subprocess.Popen[str], *, within: float) -> bool:
    """Whether the process has the lock before `within` seconds are over."""
    assert process.stdout is not None
    answer: list[str] = []
    reader = threading.Thread(target=lambda: answer.append(process.stdout.readline()))  # type: ignore[union-attr]
    reader.start()
    reader.join(within)
    return answer == ["in\n"]


def test_one_prolog_or_epilog_of_a_job_at_a_time(state: StateDirectory) -> None:
    with state.job_lock(12), held(state, "job_lock", "12") as same, held(state, "job_lock", "13") as other:
        assert says_in(other, within=20)
        assert not says_in(same, within=0.3)


def test_a_dead_holder_holds_nothing(state: StateDirectory) -> None:
    with held(state, "job_lock", "12") as dead, held(state, "job_lock", "13") as other:
        assert says_in(dead, within=20)
        assert says_in(other, within=20)
        dead.kill()
        with held(state, "job_lock", "12") as heir:
            assert says_in(heir, within=20)


def test_images_have_a_lock_of_their_own(state: StateDirectory) -> None:
    with state.job_lock(12), held(state, "images_lock") as holder:
        assert says_in(holder, within=20)


def test_the_largest_job_number_can_be_locked(state: StateDirectory) -> None:
    with state.job_lock(2**32 - 1):
        assert os.listdir(state.path) == ["jobs.lock"]

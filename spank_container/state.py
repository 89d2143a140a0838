"""The state directory, /run/spank-container: what this node has done for which job.

Its layout stands in DESIGN 4 and docs/explanation/architecture.md. Files are written under another name and renamed, so that a
reader sees all or nothing; `ready` and `failed` are the commit points. Nothing here decides or mounts anything but
the directory's own tmpfs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spank_container.errors import NodeError
from spank_container.kernel import mounts, syscalls
from spank_container.plan.ops import MountPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = Path("/run/spank-container")
_RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What was planned for a container, and for which run of the job: all that undo needs to know.

    `tmp` is DEVICE:INODE of the node's /tmp and /dev/shm: the plugin carries in what Slurm has put over them for the
    job. `-` stands for one that is not to be carried in.
    """

    restart_count: int
    plan: MountPlan
    request: str = ""
    tmp: tuple[str, ...] = ("-", "-")


class ContainerDirectory:
    """jobs/JOB or jobs/JOB/steps/STEP."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pin = path / "mnt.ns"
        self.root = path / "root"

    @property
    def name(self) -> str:
        """Unique on the node: 12, or 12.3 for a step."""
        folder = self.path.parent
        return f"{folder.parent.name}.{self.path.name}" if folder.name == "steps" else self.path.name

    def exists(self) -> bool:
        return self.path.exists()

    def create(self, record: Record) -> None:
        """Make the directory with its record: the first thing that is done, so that all else can be undone."""
        _make_private(self.path)
        self.root.mkdir(mode=0o700)
        document = {
            "version": _RECORD_VERSION,
            "restart_count": record.restart_count,
            "request": record.request,
            "plan": record.plan.to_json(),
            "tmp": record.tmp,
        }
        write_whole(self.path / "record.json", json.dumps(document))
        write_whole(self.path / "env", "".join(f"{one}\0" for one in record.plan.environment))
        write_whole(self.path / "tmp", "".join(f"{one}\n" for one in record.tmp))

    def record(self) -> Record | None:
        """None where the record was never finished: then nothing was applied either."""
        try:
            text = (self.path / "record.json").read_text()
        except FileNotFoundError:
            return None
        return parse_record(text, self.path)

    def commit(self) -> None:
        """Tell the tasks that the container is there."""
        write_whole(self.path / "ready", "")

    def close(self) -> None:
        """Let no task enter any more what will now be taken apart."""
        (self.path / "ready").unlink(missing_ok=True)

    def is_ready(self) -> bool:
        return (self.path / "ready").exists()

    def fail(self, text: str) -> None:
        """Tell the tasks why there is none. Makes the directory if need be."""
        _make_private(self.path)
        write_whole(self.path / "failed", f"{text}\n")

    def steps(self) -> list[ContainerDirectory]:
        return [ContainerDirectory(path) for path in _entries(self.path / "steps")]

    def remove(self) -> None:
        """The directory and all in it; everything mounted there must be gone."""
        for folder, folders, files in os.walk(self.path, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            for name in folders:
                os.rmdir(os.path.join(folder, name))
        with contextlib.suppress(FileNotFoundError):
            self.path.rmdir()


class Journal:
    """Which host operations of the record were begun; append only, on a tmpfs, so order needs no fsync."""

    def __init__(self, directory: ContainerDirectory) -> None:
        self._path = directory.path / "journal"

    def begin(self, index: int, note: str = "") -> None:
        """Called before operation `index` acts; `note` is what undo will need and the plan could not know."""
        self._append({"op": index, "state": "begin", "note": note})

    def done(self, index: int) -> None:
        self._append({"op": index, "state": "done"})

    def _append(self, entry: dict[str, Any]) -> None:
        with self._path.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def begun(self) -> list[tuple[int, str]]:
        """(index, note) of all that was begun, in order. A torn last line was never acted upon."""
        found: dict[int, str] = {}
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            for line in self._path.read_text().splitlines():
                entry = json.loads(line)
                if entry["state"] == "begin":
                    found[entry["op"]] = entry["note"] or found.get(entry["op"], "")
        return list(found.items())


class StateDirectory:
    """The whole of /run/spank-container."""

    def __init__(self, path: Path = STATE) -> None:
        self.path = path
        self.images = path / "images"
        self._jobs = path / "jobs"

    def prepare(self) -> None:
        """Make and mount it: a tmpfs of our own, since what lies on it must not propagate to other namespaces."""
        if not mounts.is_mount_point(str(self.path)):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked(self.path.parent / f".{self.path.name}.lock"):
                self._mount()
        for folder in (self.images, self._jobs):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _mount(self) -> None:
        if mounts.is_mount_point(str(self.path)):
            return  # another Prolog was faster
        with mounts.closing(mounts.new_filesystem("tmpfs", {"mode": "0700"})) as tree:
            mounts.attach(tree, str(self.path))
            # Only now: a mount attached below a shared one becomes shared itself; mount_namespaces(7).
            syscalls.mount_setattr(tree, propagation=syscalls.MS_PRIVATE)

    def job(self, number: int, step: int | None = None) -> ContainerDirectory:
        path = self._jobs / str(number)
        return ContainerDirectory(path if step is None else path / "steps" / str(step))

    def jobs(self) -> list[int]:
        """The ids of all jobs that this node holds anything for."""
        return sorted(int(path.name) for path in _entries(self._jobs) if path.name.isdecimal())

    @contextlib.contextmanager
    def job_lock(self, number: int) -> Iterator[None]:
        """One Prolog or Epilog of a job at a time; before 26.05 Slurm may run Epilogs concurrently.

        One byte of one file for each job, so that no lock file is left behind or removed under a waiter.
        """
        with self._locked(self.path / "jobs.lock", number):
            yield

    @contextlib.contextmanager
    def images_lock(self) -> Iterator[None]:
        with self._locked(self.path / "images.lock"):
            yield

    @contextlib.contextmanager
    def _locked(self, path: Path, byte: int = 0) -> Iterator[None]:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, byte)
            yield
        finally:
            os.close(descriptor)


def _make_private(path: Path) -> None:
    """With its parents, each 0700, which mkdir(parents=True) gives to the last only.

    slurmstepd has a descriptor of the directory while a user's `--chdir=/proc/self/fd/N` is followed, and there only
    the last component's mode counts (runc CVE-2024-21626).
    """
    if not path.is_dir():
        _make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def parse_record(text: str, path: Path) -> Record:
    """Read what `ContainerDirectory.create` wrote; `path` is for the message only."""
    document = json.loads(text)
    if document["version"] != _RECORD_VERSION:
        raise NodeError(f"another version of spank-container wrote {path}", hint="reboot, or use that version")
    plan = MountPlan.from_json(document["plan"])
    return Record(document["restart_count"], plan, document["request"], tuple(document.get("tmp", ("-", "-"))))


def write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, errors="surrogateescape")
    temporary.rename(path)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []

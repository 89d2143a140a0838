"""A compute node in miniature, in a mount namespace of its own: the real prolog() and epilog() on the real kernel."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import pytest

from spank_container import lifecycle
from spank_container.kernel import namespace
from spank_container.site_config import ImagesConfig, ScratchConfig, SiteConfig
from spank_container.state import ContainerDirectory, StateDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from spank_container.values.image_ref import Digest

P = ParamSpec("P")
ALICE, BOB = 2001, 2002
ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nalice:x:17:17:an impostor:/:/bin/sh\nold:x:1500:1500::/:/bin/sh\n"


def isolated(test: Callable[P, None]) -> Callable[P, None]:
    """Run the test in a child process with a mount namespace of its own, which takes all that is left with it."""

    @functools.wraps(test)
    def in_child(*args: P.args, **kwargs: P.kwargs) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 0
            try:
                namespace.unshare_mounts()
                test(*args, **kwargs)
            except BaseException:  # noqa: BLE001  # told to the parent
                os.write(writing, traceback.format_exc().encode()[-60000:])
                status = 1
            sys.stdout.flush()
            os._exit(status)
        os.close(writing)
        with open(reading, encoding="utf-8", errors="replace") as report:
            text = report.read()
        _, status = os.waitpid(pid, 0)
        if status:
            pytest.fail(text or f"the test died: {status}", pytrace=False)

    return in_child


class Node:
    """A compute node in miniature: a state directory, a store with two images, and jobs."""

    def __init__(self, path: Path, images: dict[str, Digest]) -> None:
        self.path = path
        self.images = images
        self.state = StateDirectory(path / "run")
        self.config = SiteConfig(
            images=ImagesConfig(store=str(path / "store")), scratch=ScratchConfig(filesystems=("xfs", "ext4"))
        )

    def environment(
        self,
        job: int = 7,
        *,
        volumes: tuple[str, ...] = (),
        image: str = "one",
        uid: int = ALICE,
        restart: int = 0,
        writable: str | None = None,
    ) -> dict[str, str]:
        request = {
            "digest": self.images.get(image, image),
            "image": "docker:docker.io/library/test:latest",
            "version": 1,
            "volumes": list(volumes),
            **({} if writable is None else {"writable": writable}),
        }
        return {
            "SPANK_CONTAINER_REQUEST": json.dumps(request),
            "SLURM_JOB_ID": str(job),
            "SLURM_JOB_UID": str(uid),
            "SLURM_JOB_GID": str(uid),
            "SLURM_JOB_USER": "alice" if uid == ALICE else "bob",
            "SLURMD_NODENAME": "n1",
            "SLURM_NODELIST": "n[1-2]",
            "SLURM_JOB_CPUS_PER_NODE": "2,1",
            "SLURM_JOB_WORK_DIR": str(self.path / "work"),
            "SLURM_JOB_RESTART_COUNT": str(restart),
        }

    def prolog(self, environment: dict[str, str]) -> ContainerDirectory:
        lifecycle.prolog(environment, self.state)
        return self.state.job(int(environment["SLURM_JOB_ID"]))

    def epilog(self, environment: dict[str, str]) -> None:
        lifecycle.epilog(environment, self.state)

    def left_over(self) -> list[str]:
        """Everything of ours that is still there: mounts, loop devices, files. The empty list is clean."""
        mountinfo = Path("/proc/self/mountinfo").read_text().splitlines()
        mounts = [f"mount {line.split()[4]}" for line in mountinfo if f"{self.path}/run/" in line]
        loops = [f"loop {file.read_text().strip()}" for file in Path("/sys/block").glob("loop*/loop/backing_file")]
        files = [f"file {path}" for path in (self.path / "run").glob("*/*")]
        caches = [f"cache {path}" for path in (self.path / "work").iterdir() if "spank-container" in path.name]
        return [*mounts, *(loop for loop in loops if str(self.path) in loop), *files, *caches]

    def wait_until_clean(self) -> None:
        """A loop device is freed a moment after its last mount went: the kernel does it when nobody waits."""
        deadline = time.monotonic() + 60  # it writes the cache back first, on a disk that others use
        while self.left_over() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.left_over() == []


def in_container(directory: ContainerDirectory, script: str, uid: int = 0) -> str:
    """What `script` prints in the pinned namespace, run by the image's own shell."""
    command = ["nsenter", f"--mount={directory.pin}"]
    command += [f"--setuid={uid}", f"--setgid={uid}"] if uid else []
    done = subprocess.run([*command, "/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr

"""Our own side: the configuration, the image store, and what is left of jobs on this node."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.doctor.findings import Finding, failure, ok, warning
from spank_container.doctor.trust import changeable_by_others
from spank_container.errors import BusyError, SiteError
from spank_container.site_config import CONFIG_FILE, SiteConfig, load_config
from spank_container.slurm import live_jobs, node_name
from spank_container.state import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNT = re.compile(r"^\d+ \d+ \S+ \S+ (?P<target>\S+) \S+ (?P<tags>.*?)- (?P<type>\S+)", re.MULTILINE)


def check_configuration(path: Path = CONFIG_FILE) -> tuple[SiteConfig, tuple[Finding, ...]]:
    """The configuration, or the defaults where it is broken: the other checks then look with these."""
    what = "configuration"
    try:
        config = load_config(path)
    except SiteError as error:
        why = f"{error.message}\nnodes go on with the last good form, and new nodes refuse jobs"
        return SiteConfig(), (failure(what, why, f"correct {path}"),)
    if not path.exists():
        return config, (ok(what, f"there is no {path}: all defaults"),)
    if fault := changeable_by_others(path):
        return config, (failure(what, f"root believes {path}, but {fault}", "give it to root alone"),)
    return config, (ok(what, str(path)),)


def check_store(store: Path) -> Iterator[Finding]:
    what = "image store"
    images = store / "images"
    if not images.is_dir():
        to_do = "spank-container pull makes it; is its file system mounted here?"
        yield warning(what, f"there is none yet [{store}]", to_do)
        return
    if not os.access(images, os.R_OK | os.X_OK):
        yield failure(what, f"it cannot be read [{images}]", f"chmod 0755 {images}, and what is above it")
        return
    if images.stat().st_mode & 0o022:
        # The kernel mounts what lies there, so a fault of its squashfs driver would be in reach of whoever writes it.
        yield warning(what, f"more than its owner can write it [{images}]", f"chmod go-w {images}")
        return
    count = sum(1 for one in images.iterdir() if one.suffix == ".json" and not one.name.startswith("."))
    yield ok(what, f"{count} image{'' if count == 1 else 's'} [{store}]")


def check_state(state: Path = STATE) -> Iterator[Finding]:
    what = "state directory"
    if not state.exists():
        yield ok(what, f"there is none: no job with a container since boot [{state}]")
        return
    yield judge_state(state, state.stat(), Path("/proc/self/mountinfo").read_text())
    if os.geteuid() == 0:
        yield _check_jobs(state / "jobs")
        yield from _check_namespace()
    else:
        yield warning("jobs on this node", "only root sees them", "run this as root")


def judge_state(state: Path, status: os.stat_result, mountinfo: str) -> Finding:
    what = "state directory"
    mode = stat.S_IMODE(status.st_mode)
    if (status.st_uid, mode) != (0, 0o700):
        why = f"uid {status.st_uid} and mode {mode:04o}, not root's and 0700 [{state}]"
        return failure(what, why, f"drain the node, then: spank-container sweep; umount {state}; rmdir {state}")
    mounted = [found for found in _MOUNT.finditer(mountinfo) if found["target"] == str(state)]
    if not mounted:
        return warning(what, f"nothing is mounted there [{state}]", f"rmdir {state}; the next Prolog makes it anew")
    if "shared:" in mounted[-1]["tags"]:
        why = f"its mounts propagate, so other namespaces keep them in use [{state}]"
        return failure(what, why, f"mount --make-private {state}")
    return ok(what, f"root's, 0700, private [{state}]")


def _check_jobs(jobs: Path) -> Finding:
    # The directories first, then Slurm: a job that starts in between has a directory and lives.
    found = {int(one.name) for one in jobs.iterdir() if one.name.isdecimal()} if jobs.is_dir() else set()
    what = "jobs on this node"
    if not found:
        return ok(what, "none has a container, and nothing is left over")
    try:
        return judge_jobs(found, live_jobs(node_name()))
    except BusyError as error:
        return warning(what, f"{len(found)} have a container; whether they live is not known: {error}", error.hint)


def judge_jobs(found: set[int], live: frozenset[int]) -> Finding:
    what = "jobs on this node"
    dead = sorted(found - live)
    if dead:
        shown = ", ".join(map(str, dead[:10])) + (", ..." if len(dead) > 10 else "")
        return warning(what, f"{len(dead)} ended and left something: {shown}", "spank-container sweep")
    return ok(what, f"{len(found)} with a container, all of them live")


def _check_namespace() -> Iterator[Finding]:
    """slurmd with PrivateTmp= or the like mounts where neither the sweep nor a shell of root's sees it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_slurmd = (process / "comm").read_text() == "slurmd\n"
            if is_slurmd and _same_namespace(process, "pid") and not _same_namespace(process, "mnt"):
                yield warning(
                    "slurmd's mounts",
                    f"slurmd (pid {process.name}) has a mount namespace of its own, so the sweep cannot see them",
                    "take PrivateTmp=, ProtectSystem= and the like out of slurmd.service",
                )
        except OSError:
            continue  # it has just ended


def _same_namespace(process: Path, kind: str) -> bool:
    return (process / "ns" / kind).samefile(f"/proc/self/ns/{kind}")

"""The kernel and the programs of this node."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.doctor.findings import Finding, failure, ok, warning
from spank_container.doctor.trust import changeable_by_others
from spank_container.errors import SpankContainerError
from spank_container.facts import SUPPORT_LINK
from spank_container.run import PATH, run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_OLDEST_KERNEL = (5, 14)
_NEEDED = ("squashfs", "overlay", "tmpfs")
# What it is for, and where it is: Debian's package, RHEL's.
_PROGRAMS = {
    "mksquashfs": ("converts images; needed where images are pulled", "squashfs-tools 4.5 or later"),
    "skopeo": ("talks to registries; needed where images are pulled and where jobs are submitted", "skopeo"),
}
_MAKERS = {"xfs": ("mkfs.xfs", "xfsprogs"), "ext4": ("mkfs.ext4", "e2fsprogs")}


def check_kernel(scratch_filesystems: Collection[str]) -> Iterator[Finding]:
    yield judge_kernel(os.uname().release)
    present = Path("/proc/filesystems").read_text().split()
    for name in (*_NEEDED, *scratch_filesystems):
        yield judge_filesystem(name, present, has_module, needed=name in _NEEDED)
    yield judge_loop(has_device=Path("/dev/loop-control").exists(), has_module=has_module)


def judge_kernel(release: str) -> Finding:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= _OLDEST_KERNEL:
        return ok("kernel", release)
    return failure("kernel", f"{release} is older than 5.14, the oldest that is supported", "update it")


def judge_filesystem(
    name: str, present: Collection[str], has_module: Callable[[str], bool | None], *, needed: bool
) -> Finding:
    what = f"kernel: {name}"
    if name in present:
        return ok(what, "the kernel has it")
    match has_module(name):
        case True:
            return ok(what, "a module, loaded at its first mount")
        case None:
            return warning(what, "not loaded, and modprobe is not here to say whether it can be", "install kmod")
        case False:
            judged = failure if needed else warning
            use = "no container works without it" if needed else "perNodeCache volumes with it fail"
            return judged(
                what, f"the kernel has it neither built in nor as a module: {use}", f"modprobe {name} tells why"
            )


def judge_loop(*, has_device: bool, has_module: Callable[[str], bool | None]) -> Finding:
    if has_device:
        return ok("kernel: loop", "/dev/loop-control is here")
    if has_module("loop"):
        return warning("kernel: loop", "a module that is not loaded", "modprobe loop; and at boot: /etc/modules-load.d")
    return failure("kernel: loop", "there are no loop devices: images cannot be mounted", "modprobe loop tells why")


def has_module(name: str) -> bool | None:
    """Whether the kernel could load it; None where there is no modprobe."""
    if shutil.which("modprobe", path=PATH) is None:
        return None
    try:
        run(["modprobe", "--dry-run", "--quiet", name], timeout=10)
    except SpankContainerError:
        return False
    return True


def check_tools(scratch_filesystems: Collection[str]) -> Iterator[Finding]:
    for name, (use, package) in _PROGRAMS.items():
        yield judge_program(name, shutil.which(name, path=PATH), use, package)
    for filesystem in scratch_filesystems:
        name, package = _MAKERS[filesystem]
        use = f"makes perNodeCache volumes with fs={filesystem}; needed on compute nodes"
        yield judge_program(name, shutil.which(name, path=PATH), use, package)


def check_support(folder: Path = Path(sys.prefix) / SUPPORT_LINK) -> Iterator[Finding]:
    """What every container is given from here, and root puts there."""
    program = folder / "bin" / "shifter"
    what, to_do = "containers: shifter", "spank-container install"
    if not os.access(program, os.X_OK):
        yield failure(what, f"it is not here, and no container can be built [{program}]", to_do)
    elif fault := changeable_by_others(program.resolve()):
        yield failure(
            what, f"every container has {program}, but {fault}", "give it to root alone, and what is above it"
        )
    else:
        yield ok(what, str(program.resolve()))


def judge_program(name: str, found: str | None, use: str, package: str) -> Finding:
    if found:
        return ok(f"program: {name}", found)
    return warning(f"program: {name}", f"not here; it {use}", f"install {package}")

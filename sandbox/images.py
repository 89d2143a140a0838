"""The images that a fresh cluster's registry offers: debian:trixie for the demonstration, busybox for quick tests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sandbox.cache import digest, kept
from sandbox.oci import ImageConfig, write_layout
from sandbox.releases import release_of
from sandbox.roots import minbase, slurm_root

TRIXIE = release_of("24.11")
APPLETS = (
    "sh",
    "ls",
    "cat",
    "id",
    "mount",
    "df",
    "stat",
    "sleep",
    "env",
    "grep",
    "touch",
    "readlink",
    "hostname",
    "su",
)

# What the demonstration shows: lines of RANK FACT: VALUE, since ranks print at the same time.
APP = """#!/bin/sh
fact() { echo "$SLURM_PROCID $1: $2"; }
fact "host name" "$(hostname)"
fact image "$(. /etc/os-release; echo "$PRETTY_NAME")"
fact uid "$(id -u)"
fact /var/hostsfile "$(tr '\\n' ' ' < /var/hostsfile)"
fact "/mnt file system" "$(df --output=fstype /mnt | tail -n 1)"
fact "/mnt size" "$(df --output=size --block-size=1M /mnt | tail -n 1 | tr -d ' ') MiB"
fact '$TMPDIR' "$TMPDIR"
"""
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"  # noqa: S105
GROUP = "root:x:0:\nnogroup:x:65534:\n"


def layouts() -> dict[str, Path]:
    """The OCI layout of every image by its name in the registry."""
    return {"library/debian:trixie": _debian(), "library/busybox:latest": _busybox()}


def _debian() -> Path:
    def make(layout: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder) / "myapp/app", APP, 0o755)
            write_layout(layout, [minbase(TRIXIE.suite), Path(folder)], ImageConfig({"PATH": "/usr/bin:/bin"}))

    return kept("image-debian", digest("1", APP, minbase(TRIXIE.suite).name), make)


def _busybox() -> Path:
    """Small, and hostile where it can be: a setuid root shell for those who try."""

    def make(layout: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fill_busybox(Path(folder))
            environment = {"PATH": "/usr/bin:/bin", "IMAGE_SAYS": "hello from the image"}
            write_layout(layout, [Path(folder)], ImageConfig(environment, workdir="/work"))

    return kept("image-busybox", digest("2", PASSWD, GROUP, *APPLETS), make)


def fill_busybox(folder: Path) -> None:
    """The tree of the small image, for others that add to it."""
    folder.chmod(0o755)
    binary = slurm_root(TRIXIE) / "usr/bin/busybox"
    (folder / "bin").mkdir()
    for name in ("busybox", "busybox-setuid"):
        shutil.copy(binary, folder / "bin" / name)
    (folder / "bin/busybox-setuid").chmod(0o6755)
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    for place in ("etc", "tmp", "var", "work", "mnt", "usr/bin"):
        (folder / place).mkdir(parents=True)
    _write(folder / "etc/passwd", PASSWD, 0o644)
    _write(folder / "etc/group", GROUP, 0o644)
    _write(folder / "etc/os-release", 'PRETTY_NAME="BusyBox of the sandbox"\n', 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)

"""`bench convert`: from the layers of an image to its squashfs, against a floor and against the programs that others use.

The floor is the merged tree as one gzip stream, zcat and mksquashfs, whose other name is sqfstar; both write the same
squashfs to the same disk with the same settings. Ours finds the layers in the cache, as when a tag has moved; all else
it does as ever: ask the registry, verify digests, merge, write to disk for good. The floor leaves its file to the page
cache. Against other programs, ours begins with no layer in its cache.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contest import Command, compete_here
from bench.convert_image import TAG, flat, layout
from bench.rows import AtMostBytes, AtMostTimes, Row, compared
from bench.samples import Pairs
from sandbox.cache import CACHE
from sandbox.command import SandboxError, run, say
from spank_container.values.image_format import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGE = "bench/layers"
_ROUNDS = 5
_ROUNDS_OF_PEERS = 2
_MOST_MEMORY = 300 << 20
_CHECKOUT = Path(__file__).parents[1]


def convert() -> list[Row]:
    """On this machine, from a registry on it; needs no cluster."""
    image, merged = layout(), flat() / "flat.tar.gz"
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="bench-convert-") as name, _registry(Path(name)) as address:
        place = Path(name)
        say("bench: pushing the image")
        run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{image}/layout:{TAG}", _url(address)])
        return [*_against_the_floor(place, address, merged), *_against_others(place, address)]


def _against_the_floor(place: Path, address: str, merged: Path) -> list[Row]:
    times = compete_here(
        _ROUNDS,
        warm_up=1,
        ours=[_sh(f"rm -rf {place}/store/images {place}/store/tags", timed=False), _pull(place, address)],
        floor=[
            _sh(f"rm -f {place}/floor", timed=False),
            _sh(f"zcat {merged} | mksquashfs - {place}/floor -tar {_mksquashfs()}"),
        ],
    )
    memory = int((place / "store/memory").read_text())
    what = "our memory, without skopeo and mksquashfs"
    return [
        compared("layers to squashfs", "zcat | sqfstar", Pairs(times["ours"], times["floor"]), AtMostTimes(1)),
        Row(what, memory, 1, promise=AtMostBytes(_MOST_MEMORY)),
    ]


def _against_others(place: Path, address: str) -> list[Row]:
    unpacked = f"{place}/umoci"
    contenders = {
        "ours": [_sh(f"rm -rf {place}/store", timed=False), _pull(place, address)],
        "umoci": [
            _sh(f"rm -rf {unpacked}*", timed=False),
            _sh(
                f"skopeo copy --quiet --src-tls-verify=false {_url(address)} oci:{unpacked}:1"
                f" && umoci unpack --image {unpacked}:1 {unpacked}.bundle"
                f" && mksquashfs {unpacked}.bundle/rootfs {unpacked}.squashfs {_mksquashfs()}"
            ),
        ],
    }
    with _podman(place) as podman:
        if podman:
            contenders["podman"] = [
                _sh(f"{podman} rmi --all --force || true", timed=False),
                _sh(f"{podman} pull --quiet --tls-verify=false {address}/{_IMAGE}"),
            ]
        times = compete_here(_ROUNDS_OF_PEERS, warm_up=0, **contenders)
    what = "pull, nothing in the cache"
    rows = [compared(what, "skopeo, umoci, mksquashfs", Pairs(times["ours"], times["umoci"]), AtMostTimes(0.25))]
    if "podman" in times:
        rows.append(compared(what, "podman pull, unpacked only", Pairs(times["ours"], times["podman"])))
    return rows


def _pull(place: Path, address: str) -> Command:
    argv = (sys.executable, "-m", "bench.convert_pull", address, _IMAGE, f"{place}/store")
    return Command(argv, {"PATH": "/usr/bin:/bin", "HOME": str(place), "PYTHONPATH": str(_CHECKOUT)})


def _sh(script: str, *, timed: bool = True) -> Command:
    return Command(("sh", "-euc", f"exec > /dev/null 2>&1; {script}"), timed=timed)


def _mksquashfs() -> str:
    ours = ImageFormat()
    settings = f"-comp zstd -Xcompression-level {ours.compression_level} -b {ours.block_size} -mem 256M"
    return f"{settings} -noappend -quiet -no-progress"


def _url(address: str) -> str:
    return f"docker://{address}/{_IMAGE}:latest"


@contextmanager
def _podman(place: Path) -> Iterator[str]:
    """How to call it on a storage of its own; empty where it is not installed."""
    if not shutil.which("podman"):
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="podman-") as state:  # it takes 50 characters at most
        try:
            yield f"podman --root {place}/podman --runroot {state} --storage-driver overlay"
        finally:
            run(["sh", "-c", f"umount --quiet {place}/podman/overlay || true"])  # it mounts that on itself


@contextmanager
def _registry(place: Path) -> Iterator[str]:
    """Debian's docker-registry, without TLS, and a home for those who ask it: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = place / "registry.yml"
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {place}/registry}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    known = place / ".config/containers"
    known.mkdir(parents=True)
    (known / "registries.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    argv = ["docker-registry", "serve", str(settings)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(address)
            yield address
        finally:
            server.terminate()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(200):
        with socket.socket() as connection:
            if connection.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise SandboxError("docker-registry does not start")

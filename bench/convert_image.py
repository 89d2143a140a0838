"""The image that `bench convert` converts: what a site's users build, in six layers that replace and delete.

About 1.6 GB and 65 000 paths: Debian, compilers, MPI, Python for science, headers of a kernel, an application; the last
ones delete documentation and translations of those below. Made once, by chroot and `umoci repack`, and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cache import CACHE, digest, kept
from sandbox.chroot import run_in_root
from sandbox.command import run
from sandbox.releases import release_of
from sandbox.roots import minbase

if TYPE_CHECKING:
    from pathlib import Path

_SUITE = release_of("24.11").suite
_INSTALL = """
apt-get -qq update -o Acquire::Check-Valid-Until=false
apt-get -qq install --yes --no-install-recommends -o APT::Keep-Downloaded-Packages=true {}
rm -rf /var/lib/apt/lists/* /var/log/*
"""
_LAYERS = (
    _INSTALL.format("build-essential gfortran python3 perl git ca-certificates"),
    _INSTALL.format("libopenmpi-dev openmpi-bin libfftw3-dev libhdf5-openmpi-dev"),
    _INSTALL.format("python3-numpy python3-scipy python3-sympy python3-mpi4py libboost-dev"),
    _INSTALL.format("linux-headers-amd64") + "rm -r /usr/share/doc /usr/share/man",
    "mkdir /opt/app; cp -a /usr/lib/python3/dist-packages/numpy /opt/app; rm -r /usr/share/locale; touch /usr/bin/perl",
)
TAG = "last"


def layout() -> Path:
    """An OCI layout with the image as `TAG`."""
    return kept("image-convert", digest("1", minbase(_SUITE).name, *_LAYERS), _make)


def flat() -> Path:
    """A folder with the merged tree as one gzip stream, flat.tar.gz."""
    image = layout()
    return kept("image-convert-flat", digest("1", image.name), lambda folder: _flatten(image, folder))


def _make(folder: Path) -> None:
    bundle = folder / "bundle"
    archives = CACHE / "debs" / f"{_SUITE}-apt"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    run(["umoci", "init", "--layout", folder / "layout"])
    run(["umoci", "new", "--image", f"{folder}/layout:{TAG}"])
    run(["umoci", "unpack", "--image", f"{folder}/layout:{TAG}", bundle])
    run(["cp", "-a", f"{minbase(_SUITE)}/.", bundle / "rootfs"])
    _repack(folder)
    run(["cp", "/etc/resolv.conf", "/etc/hosts", bundle / "rootfs/etc"])
    for script in _LAYERS:
        run_in_root(bundle / "rootfs", script, binds={archives: "/var/cache/apt/archives"})
        _repack(folder)
    run(["rm", "-r", bundle])
    run(["umoci", "gc", "--layout", folder / "layout"])


def _repack(folder: Path) -> None:
    run(["umoci", "repack", "--refresh-bundle", "--image", f"{folder}/layout:{TAG}", folder / "bundle"])


def _flatten(image: Path, folder: Path) -> None:
    run(["umoci", "unpack", "--image", f"{image}/layout:{TAG}", folder / "bundle"])
    script = 'tar --create --sort=name --numeric-owner --directory="$1/bundle/rootfs" . | gzip > "$1/flat.tar.gz"'
    run(["sh", "-euc", script, "sh", folder])
    run(["rm", "-r", folder / "bundle"])
